"""Calls for measuring the store: an agent's session that resends its history, and unrelated calls."""

import base64
import json
import random
import string
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from uuid import UUID

from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State

TURNS = 100
HISTORY = 200_000
IMAGE = 50_000
TOOLS = 8
EVENT_TEXT = 12
"""Characters of text in an event of a stream, about as many as in a few tokens."""

REQUEST_HEADERS = (
    "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.82.0\r\n"
    "X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.82.0\r\nX-Stainless-OS: Linux\r\n"
    "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.13.0\r\n"
    "X-Stainless-Async: false\r\nX-Stainless-Retry-Count: 0\r\nX-Stainless-Read-Timeout: 600\r\n"
    "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nHost: 127.0.0.1:9988\r\nContent-Length: {length}\r\n"
)
RESPONSE_HEADERS = (
    "Server: nginx\r\nDate: {date}\r\nContent-Type: {kind}\r\nConnection: keep-alive\r\n"
    "Vary: Origin\r\nMsh-Request-Id: {id}\r\nMsh-Uid: cq1e1ru0q0k4r6b0\r\nMsh-Gid: enterprise-tier-5\r\n"
    "Msh-Org-Id: org-6d3f0a2b9c1e\r\nMsh-Project-Id: proj-7e0d2c\r\nMsh-Trace-Mode: on\r\n"
    "Server-Timing: inner; dur={took}\r\nStrict-Transport-Security: max-age=15724800\r\n"
)


@dataclass(frozen=True, slots=True)
class Call:
    """The request and the answer of one call."""

    request: bytes
    response: bytes
    is_stream: bool


class Author:
    """Write texts that do not repeat, the same ones every time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.words = ["".join(self.random.choices(string.ascii_lowercase, k=size % 9 + 2)) for size in range(5000)]

    def text(self, length: int) -> str:
        """Return words of about this many characters."""
        return " ".join(self.random.choices(self.words, k=length * 2 // 15 + 1))[:length]

    def identifier(self) -> str:
        """Return an identifier in the API's format."""
        return self.random.randbytes(12).hex()

    def completion(self, content: str) -> bytes:
        """Return an answer of the API."""
        usage = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500, "cached_tokens": 256}
        message = {"role": "assistant", "content": content}
        return dumped(
            {
                "id": f"chatcmpl-{self.identifier()}",
                "object": "chat.completion",
                "created": 1795368422,
                "model": "kimi-k2.6",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )

    def stream(self, content: str) -> bytes:
        """Return the same answer as events."""
        head = {"id": f"chatcmpl-{self.identifier()}", "object": "chat.completion.chunk", "created": 1795368422}
        deltas = [content[at : at + EVENT_TEXT] for at in range(0, len(content), EVENT_TEXT)]
        events = [
            head | {"model": "kimi-k2.6", "choices": [{"index": 0, "delta": {"content": delta}, "finish_reason": None}]}
            for delta in deltas
        ]
        return b"".join(b"data: " + dumped(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"

    def answer(self, content: str, *, streamed: bool) -> bytes:
        """Return an answer in one of both forms."""
        return self.stream(content) if streamed else self.completion(content)


def dumped(value: object) -> bytes:
    """Return JSON as SDKs write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def session(*, streamed: bool) -> Iterator[Call]:
    """Iterate over the calls of an agent whose history grows to `HISTORY` bytes in `TURNS` turns, an image in it."""
    author = Author(1)
    parameters = {"type": "object", "properties": {"path": {"type": "string", "description": author.text(200)}}}
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{n}", "description": author.text(700), "parameters": parameters},
        }
        for n in range(TOOLS)
    ]
    url = "data:image/png;base64," + base64.b64encode(author.random.randbytes(IMAGE * 3 // 4)).decode()
    picture = [{"type": "text", "text": author.text(300)}, {"type": "image_url", "image_url": {"url": url}}]
    messages: list[object] = [{"role": "system", "content": author.text(6000)}, {"role": "user", "content": picture}]
    given: dict[str, object] = {"model": "kimi-k2.6", "messages": messages, "tools": tools, "stream": streamed}
    each = (HISTORY - len(dumped(given))) // (TURNS - 1)
    for _ in range(TURNS):
        said = author.text(author.random.randrange(150, 450))
        yield Call(dumped(given), author.answer(said, streamed=streamed), streamed)
        call = {
            "id": f"call_{author.identifier()}",
            "type": "function",
            "function": {"name": "tool_1", "arguments": "{}"},
        }
        messages.append({"role": "assistant", "content": said, "tool_calls": [call]})
        rest = max(40, each - len(dumped(messages[-1])) - 80)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": author.text(rest)})


def unrelated(count: int, size: int, *, streamed: bool) -> Iterator[Call]:
    """Iterate over calls that share nothing, with bodies of about `size` bytes together if they are no streams."""
    author = Author(2)
    for _ in range(count):
        asked, said = (author.text(int(size * author.random.uniform(0.2, 0.8)) - 200) for _ in range(2))
        messages = [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": asked}]
        request = dumped({"model": "kimi-k2.6", "messages": messages, "stream": streamed, "temperature": 0.6})
        yield Call(request, author.answer(said, streamed=streamed), streamed)


def tasks(call: Call, number: int, author: Author) -> tuple[RequestRead, ExchangeEnded]:
    """Return the hooks' tasks for a call: at its beginning and at its end."""
    kind = "text/event-stream" if call.is_stream else "application/json"
    uuid = str(UUID(bytes=author.random.randbytes(16), version=4))
    request = RequestRead(
        uuid=uuid,
        started_at=1_795_368_422_000_000 + number * 1_734_567,
        method="POST",
        endpoint="https://api.moonshot.cn",
        path="/v1/chat/completions",
        query="",
        headers=REQUEST_HEADERS.format(length=len(call.request)),
        content_type="application/json",
        content_encoding=None,
        client_request_id=None,
        body=call.request,
        api_key=b"sk-not-a-key",
    )
    events = call.response.split(b"\n\n") if call.is_stream else [call.response]
    chunks = [event + b"\n\n" for event in events if event] if call.is_stream else events
    at, times = 300_000_000, []
    for _ in chunks:
        at += author.random.randrange(5_000_000, 40_000_000)
        times.append(at)
    response = ResponseStarted(
        uuid=uuid,
        at=300_000_000,
        status_code=200,
        headers=RESPONSE_HEADERS.format(
            kind=kind,
            id=author.identifier(),
            date=formatdate(request.started_at // 10**6, usegmt=True),
            took=at // 10**6,
        ),
        content_type=kind,
        content_encoding=None,
        chunks=deque(zip(times, chunks, strict=True)),
    )
    return request, ExchangeEnded(uuid=uuid, at=at, state=State.COMPLETED, overhead=400_000, response=response)

"""Many concurrent calls through one proxy: none is lost, changed or mixed up with another."""

import asyncio
import gzip
import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import brotli  # type: ignore[import-untyped]
import httpx
import pytest
import zstandard

from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_cli.mock.served import Served
from tests.e2e.launching import Proxy
from tests.scenarios.server import MockServer

KEY = "sk-e2e-client-0123456789"
COUNT = 200
MODELS = {
    "mock-echo": 200,
    "mock-gzip": 200,
    "mock-deflate": 200,
    "mock-br": 200,
    "mock-zstd": 200,
    "mock-big": 200,
    "mock-crlf": 200,
    "mock-cr": 200,
    "mock-comments": 200,
    "mock-nospace": 200,
    "mock-unterminated": 200,
    "mock-emoji-cjk": 200,
    "mock-split": 200,
    "mock-until-close": 200,
    "mock-logprobs": 200,
    "mock-html": 200,
    "mock-400": 400,
    "mock-401": 401,
    "mock-429": 429,
    "mock-500": 500,
    "mock-504-html": 504,
}
"""Models and the status of their answers."""

BOUNDARY = "boundary7MA4YWxk"
BINARY = bytes(range(256)) * 40
CHANGING = ("date", "connection", "transfer-encoding")
"""Headers of an answer that differ between calls, or belong to one connection."""


@dataclass(frozen=True)
class Ask:
    """A call to make, and its expected result; `plain` is its body as it is to be stored."""

    number: int
    method: str
    target: str
    status: int
    body: bytes = b""
    plain: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_stream: bool = False

    @property
    def request_id(self) -> str:
        """Return the id that distinguishes its row."""
        return f"many-{self.number}"


@dataclass(frozen=True)
class Got:
    """The answer that a client got: its bytes on the wire, and decoded."""

    status: int
    headers: list[tuple[str, str]]
    raw: bytes
    decoded: bytes


def asks() -> list[Ask]:
    """Return the calls, all of them different."""
    makers = [(model, stream) for model in MODELS for stream in (False, True)]
    others = (models, upload, binary, compressed, nothing, estimate)
    made = []
    for number in range(COUNT):
        kind = number % (len(makers) + len(others))
        made.append(chat(number, *makers[kind]) if kind < len(makers) else others[kind - len(makers)](number))
    return made


def chat(number: int, model: str, stream: bool) -> Ask:
    """Return a chat completion in a format that no encoder would produce."""
    text = f"call {number} 月亮🌙 \\u00e9 \\ud83d " + "long " * (number % 50)
    messages = f'[ {{"role":"user", "content":"{text}"}} ]'
    body = f'{{"messages" :{messages},\r\n\t"model":"{model}","stream": {str(stream).lower()}, "x":1.50}}'.encode()
    status = MODELS[model]
    is_stream = stream and status == 200 and model != "mock-html"
    return Ask(number, "POST", "/v1/chat/completions", status, body, body, {"Content-Type": JSON}, is_stream)


JSON = "application/json"


def models(number: int) -> Ask:
    """Return a call without a body, with a query."""
    return Ask(number, "GET", f"/v1/models?n={number}&x=%20", 200)


def upload(number: int) -> Ask:
    """Return the upload of a file whose bytes are not text."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{number}.bin"\r\n\r\n'
    body = head.encode() + BINARY + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return Ask(number, "POST", "/v1/files", 200, body, body, kind)


def binary(number: int) -> Ask:
    """Return a call whose body is neither text nor JSON."""
    body = number.to_bytes(4) + BINARY
    return Ask(number, "POST", "/v1/batches", 404, body, body, {"Content-Type": "application/octet-stream"})


def compressed(number: int) -> Ask:
    """Return a call with a compressed body; the API rejects it, but the proxy passes it on."""
    plain = json.dumps({"model": "mock-echo", "messages": [{"role": "user", "content": f"packed {number}"}]}).encode()
    encode = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress, "deflate": zlib.compress}
    name = list(encode)[number // 48 % len(encode)]
    headers = {"Content-Type": JSON, "Content-Encoding": name}
    return Ask(number, "POST", "/v1/chat/completions", 400, encode[name](plain), plain, headers)


def nothing(number: int) -> Ask:
    """Return a call to a path that does not exist."""
    return Ask(number, "DELETE", f"/v1/files/none-{number}", 404)


def estimate(number: int) -> Ask:
    """Return a call to another endpoint."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"count {number}"}]}).encode()
    return Ask(number, "POST", "/v1/tokenizers/estimate-token-count", 200, body, body, {"Content-Type": JSON})


async def get(client: httpx.AsyncClient, ask: Ask) -> Got:
    """Make a call and return the whole answer, as received."""
    headers = {**ask.headers, "X-Request-Id": ask.request_id}
    # A body by parts keeps httpx from adding anything to it; it is then sent chunked, which is also worth a try.
    content = in_two(ask.body) if ask.number % 3 == 0 and ask.body else ask.body
    async with client.stream(ask.method, ask.target, content=content, headers=headers) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
        fixed = [(name, value) for name, value in answer.headers.multi_items() if name not in CHANGING]
    decoded = httpx.Response(200, headers=answer.headers, content=raw).content
    return Got(answer.status_code, fixed, raw, decoded)


async def in_two(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body in two parts."""
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


async def get_all(url: str, calls: list[Ask]) -> list[Got]:
    """Make all calls concurrently."""
    limits = httpx.Limits(max_connections=COUNT, max_keepalive_connections=COUNT)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=120, trust_env=False, verify=False
    ) as client:
        return await asyncio.gather(*(get(client, call) for call in calls))


@dataclass(frozen=True)
class Outcome:
    """The results of the calls, by their request ids."""

    asks: dict[str, Ask]
    through: dict[str, Got]
    direct: dict[str, Got]
    served: dict[str, list[Served]]
    rows: dict[str, Exchange]
    bodies: dict[str, Bodies]


@pytest.fixture(scope="module")
def outcome(proxy: Proxy, mock: MockServer) -> Outcome:
    """Provide the results of 200 concurrent calls through the proxy, and of the same calls without it."""
    calls = asks()
    through = asyncio.run(get_all(proxy.url, calls))
    served: dict[str, list[Served]] = {}
    for call in mock.log:
        served.setdefault(call.headers.get("X-Request-Id", ""), []).append(call)
    direct = asyncio.run(get_all(mock.url, calls))
    ids = [call.request_id for call in calls]
    rows = proxy.rows(COUNT)
    return Outcome(
        asks=dict(zip(ids, calls, strict=True)),
        through=dict(zip(ids, through, strict=True)),
        direct=dict(zip(ids, direct, strict=True)),
        served=served,
        rows={row.client_request_id or "": row for row in rows},
        bodies={row.client_request_id or "": proxy.bodies(row) for row in rows},
    )


def test_every_call_is_a_completed_row(outcome: Outcome) -> None:
    """Each call has one row, which is completed and has that call's columns."""
    assert len(outcome.rows) == COUNT
    assert Counter(row.state for row in outcome.rows.values()) == {State.COMPLETED: COUNT}
    for key, ask in outcome.asks.items():
        row = outcome.rows[key]
        path, _, query = ask.target.partition("?")
        assert (row.method, row.path, row.query, row.status_code) == (ask.method, path, query, ask.status)


def without_added_length(got: Got, direct: Got) -> Got:
    """Return the headers received through the proxy, without a length that the API does not send."""
    names = {name for name, _ in direct.headers}
    return replace(got, headers=[field for field in got.headers if field[0] != "content-length" or field[0] in names])


def test_the_client_gets_what_the_api_sends(outcome: Outcome) -> None:
    """Status, headers and bytes on the wire are the same as without the proxy, also with an encoding."""
    for key, got in outcome.through.items():
        assert without_added_length(got, outcome.direct[key]) == outcome.direct[key], outcome.asks[key]
        assert got.status == outcome.asks[key].status
    encodings = {value for got in outcome.through.values() for name, value in got.headers if name == "content-encoding"}
    assert encodings == {"gzip", "deflate", "br", "zstd"}


def test_the_api_gets_what_the_client_sends(outcome: Outcome) -> None:
    """Each request reaches upstream once, byte for byte, compressed ones still compressed."""
    for key, ask in outcome.asks.items():
        (served,) = outcome.served[key]
        assert served.body == ask.body
        assert f"{served.path}?{served.query}".rstrip("?") == ask.target
        for name, value in ask.headers.items():
            assert served.headers[name] == value


def test_the_store_has_what_the_client_sent(outcome: Outcome) -> None:
    """Requests are read from the store byte for byte, decoded."""
    for key, ask in outcome.asks.items():
        assert (outcome.bodies[key].request or b"") == ask.plain, ask


def test_the_store_has_what_the_client_got(outcome: Outcome) -> None:
    """Answers are read from the store byte for byte, decoded; streams as the events that were received."""
    for key, ask in outcome.asks.items():
        bodies = outcome.bodies[key]
        kept = bodies.event_stream if ask.is_stream else bodies.response
        assert kept == outcome.through[key].decoded, ask
        assert outcome.rows[key].response_bytes is not None


def test_streams_merge_to_their_completions(outcome: Outcome) -> None:
    """The completion stored for a stream equals the plain answer, whatever the spelling of its events."""
    merged = 0
    for key, ask in outcome.asks.items():
        if ask.is_stream:
            completion = json.loads(outcome.bodies[key].response or b"")
            assert completion["object"] == "chat.completion", ask
            assert completion["choices"][0]["finish_reason"] == "stop", ask
            assert f"call {ask.number} " in completion["choices"][0]["message"]["content"] or b"mock-" in ask.body
            merged += 1
    assert merged > COUNT // 4

"""Calls for the console: an ordinary day, and hostile ones."""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from moonpalace_addons.store.state import State

type Add = Callable[..., int]
type Make = Callable[..., int]

HOSTILE = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'
OVERRIDE = "\u202egnp.exe\u202c"
MS = 1_000_000
SECOND = 1_000 * MS
NOW = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)


def body(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode()


def completion(content: str | None, finish: str = "stop", model: str = "kimi-k2.6", **message: object) -> bytes:
    """Return a chat completion."""
    answer = {"role": "assistant", "content": content, **message}
    return body({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1764475200, "model": model,
        "choices": [{"index": 0, "message": answer, "finish_reason": finish}],
    })  # fmt: skip


def request(*messages: dict[str, object], model: str = "kimi-k2.6", **others: object) -> bytes:
    """Return a request for a chat completion."""
    return body({"model": model, "messages": list(messages), **others})


def message(role: str, content: object, **others: object) -> dict[str, object]:
    """Return a message."""
    return {"role": role, "content": content, **others}


def stream(pieces: Sequence[tuple[int, Mapping[str, object]]]) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a stream with an event for each delta, given with the milliseconds of its arrival, and its chunks."""
    data, chunks = b"", []
    for at, delta in pieces:
        event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
        data += b"data: " + body(event) + b"\n\n"
        chunks.append((len(data), at * MS))
    return data + b"data: [DONE]\n\n", [*chunks, (len(data) + 14, pieces[-1][0] * MS + MS)]


def png() -> str:
    """Return a PNG as a `data:` URL."""
    width, height = 60, 40
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 4 % 256, y * 6 % 256, 160)) for x in range(width)) for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}]
SYSTEM = message("system", "You are a careful engineer. Answer briefly, and say what you have not checked.")
SCRIPT = "把第三章的对话改写成剧本，保留人物的口头禅"
CODE = '''The two decoders can share **one** state table:

```python
class Decoder:
    """Cut a stream of bytes into events."""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        for line in self.lines.feed(chunk):  # a chunk may cut a line end
            yield from self.take(line)
```

| state | next | why |
| --- | --- | --- |
| `line` | `event` | an empty line ends an event |
| `event` | `line` | anything else |

1. Move `lines` out first.
2. Then see [the tests](https://example.org/tests).
'''


def truncated(add: Add, **changes: Any) -> int:
    """Store a stream that was cut at its limit, with a long silence in its reasoning."""
    pieces = [(700 + 60 * step, {"reasoning_content": "思考一下这个场景。"}) for step in range(40)]
    pieces += [(9000 + 50 * step, {"reasoning_content": "再想一遍人物的口头禅。"}) for step in range(60)]
    pieces += [(13000 + 90 * step, {"content": "【场景一】夜。月宫，桂树下。玉兔捣药。"}) for step in range(30)]
    data, chunks = stream(pieces)
    text = "【场景一】夜。月宫，桂树下。玉兔捣药。" * 30
    thought = "思考一下这个场景。" * 40 + "再想一遍人物的口头禅。" * 60
    asked = request(SYSTEM, message("user", SCRIPT), stream=True, max_tokens=4096)
    given = {
        "model_requested": "kimi-k2.6", "model_answered": "kimi-k2.6", "finish_reason": "length", "is_stream": True,
        "prompt_tokens": 17_990, "completion_tokens": 4_096, "total_tokens": 22_086, "reasoning_tokens": 3_900,
        "cached_tokens": 16_896, "cost": 0.2134, "cost_input": 0.0044, "cost_cached": 0.0169, "cost_output": 0.1921,
        "cost_currency": "CNY", "price_input": 4.0, "price_cached": 1.0, "latency": 15_900 * MS,
        "time_to_headers": 420 * MS, "time_to_first_token": 700 * MS, "output_tokens_per_second": 81.2,
        "longest_stall": 5_960 * MS, "session": "sess-7f3a", "key_fingerprint": "a91c77e2b0d14f5a",
    }  # fmt: skip
    answer = completion(text, "length", reasoning_content=thought)
    bodies = {"request": asked, "response": answer, "events": data, "chunks": chunks}
    return add(**bodies | given | changes)


def attempt(add: Add, **changes: Any) -> int:
    """Store a call with the truncated one's question and more room, answered in full."""
    asked = request(SYSTEM, message("user", SCRIPT), stream=True, max_tokens=8192)
    given = {
        "model_requested": "kimi-k2.6", "model_answered": "kimi-k2.6", "is_stream": True, "prompt_tokens": 17_990,
        "completion_tokens": 5_210, "total_tokens": 23_200, "reasoning_tokens": 3_700, "cached_tokens": 0,
        "cost": 0.3219, "cost_currency": "CNY", "latency": 31_400 * MS, "time_to_first_token": 900 * MS,
        "output_tokens_per_second": 170.9, "session": "sess-7f3a", "key_fingerprint": "a91c77e2b0d14f5a",
    }  # fmt: skip
    answer = completion(
        "【场景一】夜。月宫，桂树下。玉兔捣药。" * 30 + "【幕落】", reasoning_content="先列出人物的口头禅。"
    )
    bodies = {"request": asked, "response": answer}
    return add(**bodies | given | changes)


def tool_use(add: Add, *, count: str = "one", temperature: float = 0.6, **changes: Any) -> int:
    """Store a call with tool calls and their results, an image and Markdown."""
    read = {"name": "read_file", "arguments": '{"path": "src/decoder.py"}'}
    run = {"name": "run_tests", "arguments": '{"only": ["tests/wire/test_sse.py"], "timeout": 60.50}'}
    calls = [
        {"id": f"call_{number}", "type": "function", "function": each} for number, each in enumerate((read, run), 1)
    ]
    asked = request(
        SYSTEM,
        message("user", [
            {"type": "text", "text": f"Refactor the parser so that both decoders share {count} state table."},
            {"type": "image_url", "image_url": {"url": png()}},
        ]),
        message("assistant", None, tool_calls=calls[:1], reasoning_content="I should read the file first."),
        message("tool", "class Decoder:\n    def feed(self, chunk):\n        ...\n", tool_call_id="call_1"),
        message("assistant", "Now the tests.", tool_calls=calls[1:]),
        message("tool", "14 passed in 0.31s", tool_call_id="call_2"),
        tools=TOOLS, temperature=temperature,
    )  # fmt: skip
    given = {
        "model_requested": "kimi-k2.6", "model_answered": "kimi-k2.6", "prompt_tokens": 17_411,
        "completion_tokens": 388, "total_tokens": 17_799, "cached_tokens": 16_640, "cost": 0.0412,
        "cost_currency": "CNY", "price_input": 4.0, "price_cached": 1.0, "latency": 6_100 * MS, "session": "sess-7f3a",
        "key_fingerprint": "a91c77e2b0d14f5a",
        "changes": ("--force-stream added stream and stream_options",),
    }  # fmt: skip
    bodies = {"request": asked, "response": completion(CODE, reasoning_content="The table is the same.")}
    return add(**bodies | given | changes)


def refused(add: Add, **changes: Any) -> int:
    """Store a call that was refused because of a rate limit."""
    error = body({"error": {"type": "engine_overloaded_error", "message": "The engine is currently overloaded"}})
    given = {
        "status_code": 429, "model_requested": "kimi-k2.6", "model_answered": None, "finish_reason": None,
        "chatcmpl_id": None, "prompt_tokens": None, "completion_tokens": None, "total_tokens": None,
        "error_kind": "engine_overloaded_error", "error_message": "The engine is currently overloaded",
        "retry_after": SECOND, "latency": 100 * MS, "output_tokens_per_second": None,
    }  # fmt: skip
    return add(request=request(message("user", "Write the migration and its test")), response=error, **given | changes)


def running(add: Add, **changes: Any) -> int:
    """Store a call in flight."""
    given = {
        "state": State.IN_FLIGHT, "status_code": None, "model_requested": "kimi-k2.6", "model_answered": None,
        "finish_reason": None, "chatcmpl_id": None, "prompt_tokens": None, "completion_tokens": None,
        "total_tokens": None, "latency": None, "output_tokens_per_second": None, "is_stream": True,
    }  # fmt: skip
    return add(
        request=request(message("user", "Explain why the moon always shows us the same side")), **given | changes
    )


def plain(add: Add, **changes: Any) -> int:
    """Store a short call."""
    given = {
        "model_requested": "claude-sonnet-4-5", "model_answered": "claude-sonnet-4-5", "prompt_tokens": 2_204,
        "completion_tokens": 310, "total_tokens": 2_514, "cached_tokens": 0, "cost": 0.0113, "cost_currency": "USD",
        "latency": 6_000 * MS, "key_fingerprint": "0c4471d09e5b66aa",
    }  # fmt: skip
    asked = request(message("user", "Summarise the meeting in three sentences"), model="claude-sonnet-4-5")
    bodies = {"request": asked, "response": completion("They met. They talked. They left.")}
    return add(**bodies | given | changes)


def hostile(add: Add, **changes: Any) -> int:
    """Store a call whose foreign texts all try to run a script or to mislead."""
    svg = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked=1</script></svg>').decode()
    text = (
        f"{HOSTILE}\n\n[click](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>) "
        f"![pixel](http://attacker.invalid/pixel.png) [relative](/calls/1/labels) {OVERRIDE}\n\n"
        f'```html" onmouseover="window.hacked=1\n{HOSTILE}\n```\n\n<style>body{{display:none}}</style>\n\n'
        "[ref]: javascript:window.hacked=1\n[ref]"
    )
    call = {
        "id": HOSTILE,
        "type": "function",
        "function": {"name": HOSTILE, "arguments": body({HOSTILE: HOSTILE}).decode()},
    }
    asked = request(
        message("user", [
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": f"data:image/svg+xml;base64,{svg}"}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{svg}"}},
            {"type": "image_url", "image_url": {"url": "http://attacker.invalid/pixel.png"}},
            {"type": "image_url", "image_url": {"url": 'data:image/png;base64,AAAA" onerror="window.hacked=1'}},
        ]),
        message(HOSTILE, HOSTILE, name=HOSTILE),
        model=HOSTILE,
    )  # fmt: skip
    data, chunks = stream([(10, {"content": HOSTILE}), (900, {HOSTILE: HOSTILE, "content": OVERRIDE})])
    names = ("chatcmpl_id", "msh_request_id", "model_requested", "model_answered", "session", "error_kind", "note")
    given = dict.fromkeys(names, HOSTILE) | {
        "finish_reason": HOSTILE, "error_message": HOSTILE + OVERRIDE, "warnings": (HOSTILE,), "changes": (HOSTILE,),
        "request_headers": f"X-Test: {HOSTILE}\r\n{HOSTILE}: {OVERRIDE}\r\n", "cost": 1.0, "cost_currency": HOSTILE,
        "response_headers": f"X-Test: {HOSTILE}\r\n", "path": f"/v1/{HOSTILE}/chat/completions", "query": HOSTILE,
        "is_stream": True, "key_fingerprint": "<b>0123456789",
    }  # fmt: skip
    answer = completion(text, HOSTILE, HOSTILE, reasoning_content=text, tool_calls=[call])
    return add(request=asked, response=answer, events=data, chunks=chunks, **given | changes)


def a_day(add: Add) -> None:
    """Store some calls of a morning."""
    now = datetime.now(UTC).replace(microsecond=0)
    for minutes in range(90, 30, -1):
        plain(
            add, started_at=now - timedelta(minutes=minutes), prompt_tokens=2_000 + minutes, latency=minutes * 90 * MS
        )
    plain(add, started_at=now - timedelta(minutes=20), category="goodcase")
    refused(add, started_at=now - timedelta(minutes=12))
    plain(add, started_at=now - timedelta(minutes=9), state=State.CLIENT_DISCONNECTED, error_kind="client_disconnected",
          warnings=("nothing came from upstream for the last 61 s",), finish_reason=None)  # fmt: skip
    tool_use(add, started_at=now - timedelta(minutes=7), count="a single", temperature=1, cached_tokens=0, cost=0.0911,
             latency=14_300 * MS, completion_tokens=612,
             response=completion(CODE.replace("empty", "blank"), reasoning_content="One table."))  # fmt: skip
    attempt(add, started_at=now - timedelta(minutes=6))
    tool_use(add, started_at=now - timedelta(minutes=3))
    truncated(add, started_at=now - timedelta(minutes=2))
    running(add, started_at=now - timedelta(seconds=8))

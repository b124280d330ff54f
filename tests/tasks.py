"""The tasks of a plain call."""

import gzip
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from uuid import uuid4

import brotli  # type: ignore[import-untyped]
import zstandard
from msgspec import structs

from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State

STARTED_AT = 1_795_368_422_123_456  # 2026-11-22 17:27:02.123456 UTC
REQUEST = {"model": "kimi-k3", "messages": [{"role": "user", "content": "你好"}]}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1730000000,
    "model": "kimi-k3-0905",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cached_tokens": 5},
}
ENCODERS: Mapping[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, br": lambda data: bytes(brotli.compress(gzip.compress(data))),
}
"""A function for each content encoding that applies it."""


def request_read(**changes: object) -> RequestRead:
    """Return the beginning of a plain call with some fields changed."""
    plain = RequestRead(
        uuid=str(uuid4()),
        started_at=STARTED_AT,
        method="POST",
        endpoint="https://api.moonshot.cn",
        path="/v1/chat/completions",
        query="",
        headers="Accept: application/json\r\nContent-Type: application/json\r\n",
        content_type="application/json",
        content_encoding=None,
        client_request_id="client-1",
        body=json.dumps(REQUEST, ensure_ascii=False).encode(),
    )
    return structs.replace(plain, **changes)


def response_started(call: RequestRead, chunks: Iterable[bytes] | None = None, **changes: object) -> ResponseStarted:
    """Return the beginning of a plain answer with these chunks, one per millisecond."""
    given = [json.dumps(COMPLETION).encode()] if chunks is None else chunks
    plain = ResponseStarted(
        uuid=call.uuid,
        at=1_000_000,
        status_code=200,
        headers="Content-Type: application/json\r\nMsh-Request-Id: req-1\r\nMsh-Uid: u\r\nMsh-Gid: g\r\n"
        "Server-Timing: inner; dur=101\r\n",
        content_type="application/json",
        content_encoding=None,
        chunks=deque((2_000_000 + number * 1_000_000, chunk) for number, chunk in enumerate(given)),
    )
    return structs.replace(plain, **changes)


def ended(call: RequestRead, **changes: object) -> ExchangeEnded:
    """Return the end of a call, completed after 9 ms, with some fields changed."""
    plain = ExchangeEnded(uuid=call.uuid, at=9_000_000, state=State.COMPLETED, overhead=50_000)
    return structs.replace(plain, **changes)

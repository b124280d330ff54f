"""An entry of an HTTP Archive (HAR 1.2), which browsers, mitmproxy and most debugging tools read.

Times are milliseconds. Data without a place in the format has names that begin with `_`, as the format requires: the
timed events of a stream, the completion merged from them, our own metadata and labels.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from moonpalace_addons.store.fields import error_text, url
from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.json_text import Json, dumps
from moonpalace_addons.wire.status import status_line
from moonpalace_cli.calls.content import answer
from moonpalace_cli.calls.content import members as members_of
from moonpalace_cli.calls.presentation import has_failed, metadata
from moonpalace_cli.export.events import timed_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moonpalace_cli.calls.reading import Call

OPENING = (
    f'{{"log": {{"version": "1.2", "creator": {{"name": "MoonPalace", "version": "{__version__}"}}, "entries": [\n'
)
SEPARATOR = ",\n"
CLOSING = "\n]}}"
KNOWN_CODINGS = frozenset({"br", "deflate", "gzip", "identity", "x-gzip", "zstd"})
NANOSECONDS = 1_000_000
"""Of a millisecond."""


def entry(call: Call, _: str = "") -> str:
    """Return the entry of a call; one without an answer has status 0 and the reason, as browsers write it."""
    exchange = call.exchange
    latency = exchange.latency or 0
    headers_at = min(latency if exchange.time_to_headers is None else exchange.time_to_headers, latency)
    members: dict[str, Json] = {
        "startedDateTime": exchange.started_at.isoformat(timespec="milliseconds"),
        "time": latency / NANOSECONDS,
        "request": request(call),
        "response": response(call),
        "cache": {},
        "timings": {
            "send": 0,
            "wait": headers_at / NANOSECONDS,
            "receive": (latency - headers_at) / NANOSECONDS,
        },
        "_moonpalace": {**metadata(exchange), **labels(call)},
    }
    response_body = answer(exchange, call.bodies)
    if response_body.events is not None:
        members["_eventSourceMessages"] = events(call)
        if response_body.body != response_body.events:
            members |= members_of("_completion", response_body.body)
    return dumps(members)


def request(call: Call) -> dict[str, Json]:
    """Return the request."""
    exchange, body = call.exchange, call.bodies.request or b""
    members: dict[str, Json] = {
        "method": exchange.method,
        "url": url(exchange),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers(exchange.request_headers),
        "queryString": [{"name": name, "value": value} for name, value in parse_qsl(exchange.query, True)],
        "headersSize": -1,
        "bodySize": exchange.request_bytes,
    }
    if body:
        members["postData"] = {"mimeType": exchange.request_content_type or "", **text(body)}
    return members


def response(call: Call) -> dict[str, Json]:
    """Return the response; for a stream the raw events."""
    exchange, bodies = call.exchange, call.bodies
    body = bodies.event_stream if bodies.event_stream is not None else bodies.response or b""
    pairs = header_pairs(exchange.response_headers or "")
    location = [value for name, value in pairs if name.lower() == "location"]
    members: dict[str, Json] = {
        "status": exchange.status_code or 0,
        "statusText": status_line(exchange.status_code).partition(" ")[2],
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers(exchange.response_headers or ""),
        "content": {"size": len(body), "mimeType": exchange.response_content_type or "x-unknown", **text(body)},
        "redirectURL": location[0] if location else "",
        "headersSize": -1,
        "bodySize": -1 if exchange.response_bytes is None or is_encoded(pairs) else exchange.response_bytes,
    }
    return {**members, "_error": error_text(exchange)} if has_failed(exchange) else members


def is_encoded(pairs: Iterable[tuple[str, str]]) -> bool:
    """Tell whether an answer came encoded: only the size of the decoded body is known then."""
    return any(name.lower() == "content-encoding" and value.lower() != "identity" for name, value in pairs)


def headers(stored: str) -> list[Json]:
    """Return headers without a content encoding that readers do not know, because they would reject the file."""
    return [
        {"name": name, "value": value}
        for name, value in header_pairs(stored)
        if name.lower() != "content-encoding" or value.lower() in KNOWN_CODINGS
    ]


def text(body: bytes) -> dict[str, Json]:
    """Return a body as text, in base64 if it is not text."""
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(body).decode(), "encoding": "base64"}


def events(call: Call) -> list[Json]:
    """Return the events of a stream as Chrome writes them, `time` in seconds since the epoch."""
    began = call.exchange.started_at.timestamp()
    return [
        {
            **({} if at is None else {"time": round(began + at / 1e9, 6)}),
            "eventName": event.event,
            "eventId": event.id or "",
            "data": event.data,
        }
        for event, at in timed_events(call)
    ]


def labels(call: Call) -> dict[str, Json]:
    """Return the labels of the call."""
    values: dict[str, Json] = {"category": call.exchange.category, "note": call.exchange.note, "tags": list(call.tags)}
    return {name: value for name, value in values.items() if value}

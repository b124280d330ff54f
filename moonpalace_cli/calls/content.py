"""Classify a stored body as JSON, other text, or bytes, and select the body that answers a call."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.wire.forms import MAX_HEAD, Form, form_of
from moonpalace_addons.wire.json_text import Json, Verbatim, parse, reindent

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange

type Content = Verbatim | str | bytes
"""A body: JSON, text that is not JSON, or bytes that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response body: for a stream, the merged completion (None if nothing could be merged) and the raw events."""

    body: Content | None
    events: Content | None

    def shown(self, *, merged: bool) -> Content:
        """Return the raw events of a stream, or with `merged` its completion if there is one; otherwise the body."""
        if self.events is None or (merged and self.body is not None):
            return self.body if self.body is not None else ""
        return self.events


def read(data: bytes | None) -> Content:
    """Return the content of a body; the empty text for None."""
    if not data:
        return ""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    return parse(text) or text


def answer(exchange: Exchange, bodies: Bodies) -> Answer:
    """Return the response; for a call in flight, the part received so far."""
    if bodies.event_stream is None:
        return Answer(read(bodies.response), None)
    if not holds_events(exchange, bodies):
        return Answer(read(bodies.event_stream), None)
    merged = None if bodies.response is None else read(bodies.response)
    return Answer(merged, as_text(bodies.event_stream))


def holds_events(exchange: Exchange, bodies: Bodies) -> bool:
    """Return whether the answer is a stream of events; part of another kind of answer may be stored as such."""
    if bodies.event_stream is None or bodies.response is not None or exchange.is_stream:
        return bodies.event_stream is not None
    return form_of(bodies.event_stream[:MAX_HEAD], exchange.response_content_type, is_over=True) is Form.EVENTS


def as_text(data: bytes) -> str | bytes:
    """Return the text, or the bytes if they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def readable(content: Content) -> str:
    """Return a readable body: JSON indented, text unchanged, a sentence for bytes."""
    if isinstance(content, Verbatim):
        return reindent(content.text)
    if isinstance(content, bytes):
        return f"({len(content):,} bytes that are not UTF-8 text; mpal export gives them in base64)"
    return content


def members(key: str, content: Content | None) -> dict[str, Json]:
    """Return the body as a member of a JSON object: under `key`, or in base64 under `key` with "_base64"."""
    if isinstance(content, bytes):
        return {f"{key}_base64": base64.b64encode(content).decode()}
    return {key: content}

"""Parse the bodies of a call as JSON; a stream is merged into a completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moonpalace_addons.wire.chat.event_data import make_decoder, read_data
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.json_value import parse

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies


def request_and_answer(bodies: Bodies, path: str) -> tuple[object, object]:
    """Return the request to `path` and its answer as parsed JSON; None in place of a body that is not JSON."""
    answer = parsed(bodies.response)
    if answer is None and bodies.event_stream is not None:
        answer = parsed(bodies.event_stream) or merged(bodies.event_stream, path)
    return parsed(bodies.request), answer


def parsed(data: bytes | None) -> object:
    """Return the parsed JSON, or None if it is invalid."""
    if not data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return parse(text)


def merged(stream: bytes, path: str) -> object:
    """Return the answer merged from the events, or None if they do not belong to an answer."""
    decoder = make_decoder(limit=len(stream) + 1)
    read = [each for event in (*decoder.feed(stream), *decoder.close()) for each in read_data(event).values]
    merger = face_of(path, (value for value, _ in read)).make_merger()
    for value, error in read:
        merger.feed(value, error)
    return None if merger.is_empty else merger.result()

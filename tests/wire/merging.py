"""Decoding, merging and editing of a whole stream at once."""

from collections.abc import Iterable

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.chat.merging import parse_data
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.sse import Event


def merge_events(events: Iterable[Event], face: Face = CHAT_COMPLETIONS) -> dict[str, object] | None:
    """Merge the events of a face; None if they contain neither one of it nor an error.

    Events whose data is not JSON, such as `[DONE]` or a truncated one, are skipped, unless named "error".
    """
    merger = face.make_merger()
    for event in events:
        value = parse_data(event.data)
        merger.feed(value, api_error.find_in_event(event, value))
    return None if merger.is_empty else merger.result()


def decoded(pieces: Iterable[bytes]) -> list[Event]:
    """Return the events of a stream that arrives in pieces."""
    decoder = make_decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def face_of_events(events: Iterable[Event]) -> Face:
    """Return the face of a stream by the shape of its events."""
    return face_of("", (parse_data(event.data) for event in events))


def edited(plan: Plan, pieces: list[bytes]) -> bytes:
    """Return the client's part of a stream."""
    editor = StreamEditor(plan)
    for piece in pieces:
        editor.feed(piece)
    editor.close()
    return editor.take()

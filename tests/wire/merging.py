"""Decoding and merging of a whole stream at once."""

from collections.abc import Iterable

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.chat.merging import Merger, parse_data
from moonpalace_addons.wire.sse import Event


def merge_events(events: Iterable[Event]) -> dict[str, object] | None:
    """Merge the chat chunks in `events`; None if there was neither a chat chunk nor an error among them.

    Events whose data is not JSON, such as `[DONE]` or one that was cut off, are skipped, unless named "error".
    """
    merger = Merger()
    for event in events:
        value = parse_data(event.data)
        merger.feed(value, api_error.find_in_event(event, value))
    return None if merger.is_empty else merger.result()


def decoded(pieces: Iterable[bytes]) -> list[Event]:
    """Return the events of a stream that arrives in pieces."""
    decoder = make_decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()

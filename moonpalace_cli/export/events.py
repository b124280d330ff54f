"""The events of a stream, one line of JSON each; the SQL view `events` does not have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_cli.export.json_document import one_line
from moonpalace_cli.export.unfit import UnfitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moonpalace_addons.wire.sse import Event
    from moonpalace_cli.calls.reading import Call


def timed_events(call: Call) -> Iterator[tuple[Event, int | None]]:
    """Yield the events of a stream, each with the nanoseconds from the request to its arrival, if known."""
    stream = call.bodies.event_stream or b""
    decoder = make_decoder(limit=len(stream) + 1)
    events = [*decoder.feed(stream), *decoder.close()]
    times = call.event_times if len(call.event_times) == len(events) else [None] * len(events)
    yield from zip(events, times, strict=True)


def lines(call: Call, _: str = "") -> str:
    """Return a line for each event; raise UnfitError for a call whose answer has no events."""
    timed = [
        {
            "call_id": call.exchange.id,
            "position": position,
            "at_ms": None if at is None else at / 1e6,
            "event": event.event,
            "id": event.id,
            "data": event.data,
        }
        for position, (event, at) in enumerate(timed_events(call), 1)
    ]
    if not timed:
        raise UnfitError("has no events")
    return "\n".join(map(one_line, timed))

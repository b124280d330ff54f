"""Events of responses for tests, and their results."""

from typing import Any, cast

from moonpalace_addons.wire.chat.event_data import make_decoder, read_data
from moonpalace_addons.wire.faces.responses import RESPONSES
from moonpalace_addons.wire.faces.responses_merging import ResponseMerger

type Json = dict[str, Any]

BASE: Json = {"id": "resp_1", "object": "response", "status": "in_progress", "output": [], "usage": None}


def event(kind: str, **more: object) -> Json:
    """Return an event."""
    return {"type": f"response.{kind}", **more}


def created() -> Json:
    """Return the first event of a response."""
    return event("created", response=BASE)


def added(number: int, kind: str, **more: object) -> Json:
    """Return the event that adds an item."""
    return event("output_item.added", output_index=number, item={"id": f"i{number}", "type": kind, **more})


def delta(name: str, text: str, number: int = 0, **more: object) -> Json:
    """Return an event with a piece of a text."""
    return event(f"{name}.delta", item_id=f"i{number}", output_index=number, delta=text, **more)


def part(kind: str, number: int = 0, **more: object) -> Json:
    """Return the event that adds a part of an item."""
    place = {"content_index": 0} if kind == "content_part" else {"summary_index": 0}
    return event(f"{kind}.added", item_id=f"i{number}", output_index=number, part=more, **place)


def merged(*events: Json) -> tuple[Json, list[str]]:
    """Return the answer merged from events, and the doubts."""
    merger = ResponseMerger()
    for each in events:
        merger.feed(each)
    return cast(Json, merger.result()), list(merger.doubts)


def written(events: list[Json], start: int | None = None) -> bytes:
    """Return events as a stream, optionally numbered."""
    numbered = events if start is None else [{**each, "sequence_number": n} for n, each in enumerate(events, start)]
    return RESPONSES.write_events(numbered)


def values(stream: bytes) -> list[Json]:
    """Return the events of a stream."""
    return [cast(Json, value) for each in make_decoder().feed(stream) for value, _ in read_data(each).values]

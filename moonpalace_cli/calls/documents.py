"""Make the JSON documents of `export` and `inspect --json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import error_text, url
from moonpalace_addons.store.incoming import carried
from moonpalace_addons.wire.json_text import Json
from moonpalace_addons.wire.status import status_line
from moonpalace_cli.calls.content import answer, members, read
from moonpalace_cli.calls.presentation import has_failed, metadata

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.store.records.explanations import Explanation
    from moonpalace_cli.calls.reading import Call


def export_document(call: Call) -> dict[str, Json]:
    """Return the documented object: metadata, request, response, error of a failed call, category, tags, note.

    It is followed by the times of a stream's events, and by all other fields under "exchange".
    """
    exchange, tags = call.exchange, call.tags
    labels: dict[str, Json] = {"category": exchange.category} if exchange.category else {}
    if tags:
        labels["tags"] = list(tags)
    if exchange.note:
        labels["note"] = exchange.note
    return {
        "metadata": metadata(exchange),
        **exchange_parts(exchange, call.bodies, call.event_times),
        **labels,
        "exchange": carried.exported_fields(exchange),
    }


def inspect_document(
    exchange: Exchange,
    bodies: Bodies,
    tags: Sequence[str],
    explanations: Sequence[Explanation],
    reports: Sequence[Json],
) -> dict[str, Json]:
    """Return the exported object with all stored fields and their types under "exchange", and what else is known."""
    explained: list[Json] = [asdict(each) | {"created_at": each.created_at.isoformat()} for each in explanations]
    return {
        "metadata": metadata(exchange),
        "exchange": all_fields(exchange),
        **exchange_parts(exchange, bodies),
        "tags": list(tags),
        "explanations": explained,
        "reports": list(reports),
    }


def exchange_parts(exchange: Exchange, bodies: Bodies, event_times: Sequence[int] = ()) -> dict[str, Json]:
    """Return request, response and error."""
    request: dict[str, Json] = {
        "url": url(exchange),
        "header": exchange.request_headers,
        **members("body", read(bodies.request)),
    }
    content = answer(exchange, bodies)
    response: dict[str, Json] = {
        "status": status_line(exchange.status_code),
        "header": exchange.response_headers or "",
        **members("body", content.body),
    }
    if content.events is not None:
        response |= members("event_stream", content.events)
        if event_times:
            response["event_times"] = event_times
    parts: dict[str, Json] = {"request": request, "response": response}
    if has_failed(exchange):
        parts["error"] = error_text(exchange)
    return parts


def all_fields(exchange: Exchange) -> dict[str, Json]:
    """Return every field of the call: moments in ISO 8601 with their offset, durations in nanoseconds."""
    values: dict[str, Json] = {}
    for name, value in exchange._asdict().items():
        values[name] = value.isoformat() if isinstance(value, datetime) else value
    return values

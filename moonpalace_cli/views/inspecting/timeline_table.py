"""Format the timeline of a stream: a table with a bar for each gap, or one JSON object per event."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import error_text
from moonpalace_addons.views.durations import duration
from moonpalace_addons.views.timeline import Moment, Run, longest
from moonpalace_cli.calls.presentation import in_milliseconds, status
from moonpalace_cli.output import ellipsis, visible
from moonpalace_cli.text.colours import ALARM, paint
from moonpalace_cli.text.histogram import bar
from moonpalace_cli.text.tables import box, cut, display_width, fold, frame_width

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

HEADERS = ("event", "time", "gap", "", "bytes", "kind", "data")
BAR = 10
TEXT = 60
"""Columns of the data of events if the output is not a terminal."""
MIN_TEXT_WIDTH = 32
"""Preferred minimum columns of the text; if there are fewer, bars and bytes are dropped."""
MIN_WIDTH = 8
MARK, SHORT_MARK = "longest", "<<"
ALARM_GAP = 500_000_000
"""Nanoseconds from which the longest gap is shown in the alarm colour."""


def table(
    exchange: Exchange, events: Sequence[Moment], lines: Sequence[Run], width: int | None, *, blocks: bool, colour: bool
) -> str:
    """Return the table, preceded by a summary."""
    worst, silence = longest(events), silence_before_end(exchange, events)
    most = 0 if worst is None or worst.gap is None else worst.gap
    if silence > most:
        worst, most = None, silence
    end = closing(exchange, silence, most, blocks=blocks)
    rows = [opening(exchange), *(row(run, worst, most, blocks=blocks) for run in lines), end]
    rows = [[visible(cell) for cell in line] for line in rows if line]
    headers = list(HEADERS)
    if width is not None and room_for_text(rows, headers, width) < MIN_TEXT_WIDTH:
        rows, headers = narrowed(rows), narrowed([headers])[0]
    room = TEXT if width is None else max(MIN_WIDTH, room_for_text(rows, headers, width))
    for line in rows:
        line[-1] = cut_end(line[-1], room)
        if colour and most >= ALARM_GAP and line[3].endswith((MARK, SHORT_MARK)):
            line[3] = paint(line[3], ALARM)
    title = summary(exchange, events, worst, silence)
    return "\n".join([*(fold(title, width) if width else [title]), box(headers, rows)])


def room_for_text(rows: Sequence[Sequence[str]], headers: Sequence[str], width: int) -> int:
    """Return the columns left for the content of events."""
    fixed = sum(max(display_width(line[place]) for line in (headers, *rows)) for place in range(len(headers) - 1))
    return width - fixed - frame_width(len(headers))


def narrowed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the rows without bytes, and with a short mark in place of the bars."""
    return [[*line[:3], SHORT_MARK if line[3].endswith(MARK) else "", *line[5:]] for line in rows]


def row(run: Run, worst: Moment | None, most: int, *, blocks: bool) -> list[str]:
    """Return the cells of a line."""
    first = run.first
    drawing = bar(first.gap or 0, most, BAR, blocks=blocks)
    mark = marked(drawing) if worst is not None and first is worst else drawing
    size = sum(moment.size for moment in run.moments)
    return [run.numbers, run.times, duration(first.gap), mark, str(size), run.kind, run.text]


def opening(exchange: Exchange) -> list[str]:
    """Return the line for the headers of the answer; empty if they never arrived."""
    if exchange.time_to_headers is None:
        return []
    return ["", duration(exchange.time_to_headers), "", "", "", "headers", str(exchange.status_code or "")]


def marked(drawing: str) -> str:
    """Return the bar of the longest gap."""
    return f"{drawing:<{BAR}} {MARK}"


def silence_before_end(exchange: Exchange, events: Sequence[Moment]) -> int:
    """Return the nanoseconds between the last event and the end of the call, 0 if unknown."""
    last = events[-1].at if events else exchange.time_to_headers
    if last is None or exchange.latency is None or not exchange.has_timed_end:
        return 0
    return max(0, exchange.latency - last)


def closing(exchange: Exchange, silence: int, most: int, *, blocks: bool) -> list[str]:
    """Return the line for the end of the call, with the gap before it."""
    drawing = bar(silence, most, BAR, blocks=blocks)
    drawing = marked(drawing) if silence and silence == most else drawing
    gap = duration(silence) if silence else ""
    return ["", duration(exchange.latency), gap, drawing, "", "end", error_text(exchange) or status(exchange)]


def summary(exchange: Exchange, events: Sequence[Moment], worst: Moment | None, silence: int) -> str:
    """Return a summary of the stream."""
    parts = [
        f"call {exchange.id}: {len(events)} events" + (f" in {duration(exchange.latency)}" if exchange.latency else "")
    ]
    if exchange.time_to_first_token is not None:
        parts.append(f"first token after {duration(exchange.time_to_first_token)}")
    if exchange.time_per_output_token is not None:
        parts.append(f"{duration(exchange.time_per_output_token)} a token")
    if exchange.gap_p50 is not None:
        gaps = (exchange.gap_p50, exchange.gap_p90, exchange.gap_p99)
        parts.append("gaps p50 {} p90 {} p99 {}".format(*map(duration, gaps)))
    if worst is not None:
        parts.append(f"longest stall {duration(worst.gap)} before event {worst.number}")
    elif silence:
        parts.append(f"longest stall {duration(silence)} before the end")
    if events and events[0].at is None:
        parts.append("the times were not kept")
    return ", ".join(parts)


def cut_end(text: str, width: int) -> str:
    """Return the text; if it is too wide, cut it and add an ellipsis."""
    if display_width(text) <= width:
        return text
    return cut(text, width - 1)[0] + ellipsis()


def json_lines(events: Sequence[Moment]) -> Iterator[str]:
    """Yield each event as JSON; times in milliseconds."""
    for moment in events:
        yield json.dumps(
            {
                "event": moment.number,
                "at_ms": in_milliseconds(moment.at),
                "gap_ms": in_milliseconds(moment.gap),
                "bytes": moment.size,
                "kind": moment.kind,
                "text": moment.text,
            },
            ensure_ascii=False,
        )

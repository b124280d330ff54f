"""The timeline of a stream as lines of text, for views that draw no tables."""

from collections.abc import Iterator, Sequence

from moonpalace_addons.views.chat_text import Line, harmless
from moonpalace_addons.views.durations import duration
from moonpalace_addons.views.timeline import Moment, Run, longest, runs
from moonpalace_addons.wire.columns import shortened

TEXT_WIDTH = 80
MAX_LINES = 500


def timeline_lines(events: Sequence[Moment], *, is_cut: bool = False) -> Iterator[Line]:
    """Yield a heading that summarizes the stream, and a line for each event or run of similar events.

    `is_cut` means that only the first events are given.
    """
    worst = longest(events)
    stall = "" if worst is None else f", longest stall {duration(worst.gap)} before event {worst.number}"
    count = f"the first {len(events)}" if is_cut else f"{len(events)}"
    yield Line(f"── {count} {'event' if len(events) == 1 else 'events'}{stall}", "heading")
    lines = runs(events)
    for run in lines[:MAX_LINES]:
        yield Line(run_text(run, is_stalled=worst is not None and run.first is worst), "code", "  ")
    if len(lines) > MAX_LINES:
        yield Line(f"… {len(lines) - MAX_LINES} more", "quiet", "  ")


def run_text(run: Run, *, is_stalled: bool) -> str:
    """Return a line with number, time, preceding gap, kind and text of an event or a run of events."""
    mark = "<" if is_stalled else " "
    cells = f"{run.numbers:>11} {run.times:>14} {duration(run.first.gap):>7}{mark} {run.kind:<16}"
    return f"{cells} {shortened(harmless(run.text), TEXT_WIDTH)}".rstrip()

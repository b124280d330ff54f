"""Draw the events of a stream: the amount of text over time, the stalls, and the first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.views.durations import duration

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.views.timeline import Moment

WIDTH, HEIGHT = 1000, 100
"""Units of the drawing, which a page stretches."""
MAX_POINTS = 400
MIN_STALL_SHARE = 0.04
"""Share of the total time from which a gap is marked."""
MAX_STALLS = 6
TICKS = 4


@dataclass(frozen=True, slots=True)
class Stall:
    """A gap between two events; positions are percent of the width."""

    left: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A named moment; its position is percent of the width."""

    place: float
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a stream; the areas are SVG paths in `WIDTH` by `HEIGHT`."""

    reasoning: str
    visible: str
    stalls: Sequence[Stall]
    marks: Sequence[Mark]
    ticks: Sequence[Mark]
    characters: int


def picture(call: Exchange, moments: Sequence[Moment]) -> Picture | None:
    """Return the picture of a stream; None if the times of its events are unknown."""
    timed = [(moment.at, moment) for moment in moments if moment.at is not None]
    total = max([call.latency or 0, *(at for at, _ in timed)])
    if not timed or total <= 0:
        return None
    reasoning, visible = sums(moments)
    most = reasoning[-1] + visible[-1] or 1
    places = [WIDTH * at / total for at, _ in timed]
    both = [one + other for one, other in zip(reasoning, visible, strict=True)]
    marks = [
        Mark(100 * at / total, name, duration(at))
        for name, at in (("headers", call.time_to_headers), ("first token", call.time_to_first_token))
        if at is not None and at <= total
    ]
    ticks = [
        Mark(100 * part / TICKS, "", duration(total * part // TICKS) if part else "0") for part in range(TICKS + 1)
    ]
    return Picture(
        area(places, reasoning, most), area(places, both, most), list(stalls(timed, call, total)), marks, ticks, most
    )


def sums(moments: Sequence[Moment]) -> tuple[list[int], list[int]]:
    """Return the characters of reasoning, and of all other text, up to each timed event."""
    reasoning, visible = [0], [0]
    for moment in moments:
        if moment.at is None:
            continue
        is_reasoning = moment.kind == "reasoning"
        is_text = moment.kind in ("content", "tool call", "refusal", "reasoning+content")
        reasoning.append(reasoning[-1] + (len(moment.text) if is_reasoning else 0))
        visible.append(visible[-1] + (len(moment.text) if is_text else 0))
    return reasoning[1:] or [0], visible[1:] or [0]


def area(places: Sequence[float], heights: Sequence[int], most: int) -> str:
    """Return the path of an area below steps; empty if it has no content. Of many points only some are drawn."""
    if not heights[-1]:
        return ""
    step = -(-len(places) // MAX_POINTS)
    indexes = sorted({*range(0, len(places), step), len(places) - 1})
    points = [f"M{places[0]:.1f} {HEIGHT}"]
    points += [f"H{places[at]:.1f}V{HEIGHT - HEIGHT * heights[at] / most:.1f}" for at in indexes]
    return "".join(points) + f"H{WIDTH}V{HEIGHT}Z"


def stalls(timed: Sequence[tuple[int, Moment]], call: Exchange, total: int) -> Iterator[Stall]:
    """Yield the longest gaps, including the one before the end of the call, in order of time."""
    moments = [at for at, _ in timed]
    ends = [*moments[1:], call.latency if call.latency is not None and call.has_timed_end else moments[-1]]
    gaps = [(end - start, start) for start, end in zip(moments, ends, strict=True)]
    worth = [gap for gap in gaps if gap[0] >= MIN_STALL_SHARE * total]
    longest = sorted(worth, reverse=True)[:MAX_STALLS]
    for gap, start in sorted(longest, key=lambda each: each[1]):
        yield Stall(100 * start / total, 100 * gap / total, duration(gap))

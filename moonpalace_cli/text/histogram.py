"""Compute and draw histograms of durations on a logarithmic scale."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from moonpalace_addons.views.durations import MILLISECOND, duration

STEPS = (1, 2, 5)
"""The limits of a readable logarithmic scale: 1, 2, 5, 10, 20, 50 and so on, in milliseconds."""
EIGHTHS = " ▏▎▍▌▋▊▉"
FULL = "█"
PLAIN = "#"


@dataclass(frozen=True, slots=True)
class Step:
    """The number of durations of at most `up_to` nanoseconds that exceed the step before."""

    up_to: int
    calls: int


def steps(ordered: Sequence[int]) -> list[Step]:
    """Return the steps from the first to the last that contain one of the sorted durations."""
    result: list[Step] = []
    done = 0
    for limit in scale():
        if done == len(ordered):
            return result
        reached = bisect_right(ordered, limit)
        if result or reached:
            result.append(Step(limit, reached - done))
        done = reached
    raise AssertionError("the scale never ends")


def scale() -> Iterator[int]:
    """Yield the limits of the steps, in nanoseconds."""
    for power in count():
        yield from (step * MILLISECOND * 10**power for step in STEPS)


def draw(title: str, lines: Sequence[Step], width: int, *, blocks: bool) -> str:
    """Return a line for each step with a bar of at most `width` columns, drawn with `#` without `blocks`."""
    most = max((step.calls for step in lines), default=0)
    limits = [f"<= {duration(step.up_to)}" for step in lines]
    labels = max(map(len, limits), default=0)
    numbers = len(str(most))
    room = max(8, width - labels - numbers - len("    "))
    rows = [
        f"  {limit:<{labels}} {step.calls:>{numbers}} {bar(step.calls, most, room, blocks=blocks)}".rstrip()
        for limit, step in zip(limits, lines, strict=True)
    ]
    return "\n".join([title, *rows])


def bar(value: float, most: float, width: int, *, blocks: bool) -> str:
    """Return a bar in proportion to `most`; any positive value is visible."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, round(8 * width * value / most))
    if not blocks:
        return PLAIN * max(1, eighths // 8)
    return FULL * (eighths // 8) + EIGHTHS[eighths % 8].strip()

"""Tests of histograms of durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.text.histogram import Step, bar, draw, steps

MS = 10**6


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([], []),
        ([0], [Step(1 * MS, 1)]),
        ([1 * MS, 1 * MS + 1, 2 * MS], [Step(1 * MS, 1), Step(2 * MS, 2)]),
        ([3 * MS, 90 * MS], [Step(5 * MS, 1), Step(10 * MS, 0), Step(20 * MS, 0), Step(50 * MS, 0), Step(100 * MS, 1)]),
    ],
)
def test_steps(durations: list[int], expected: list[Step]) -> None:
    """There is a step for each limit from the first to the last used one, including empty ones."""
    assert steps(durations) == expected


@given(st.lists(st.integers(0, 10**15)))
def test_every_duration_is_counted_once(durations: list[int]) -> None:
    """The steps add up to the durations, and ascend."""
    result = steps(sorted(durations))
    assert sum(step.calls for step in result) == len(durations)
    assert [step.up_to for step in result] == sorted({step.up_to for step in result})


@pytest.mark.parametrize(
    ("value", "most", "blocks", "text"),
    [
        (0, 4, True, ""),
        (4, 4, True, "████████"),
        (2, 4, True, "████"),
        (1, 3, True, "██▋"),
        (1, 10_000, True, "▏"),
        (2, 4, False, "####"),
        (1, 10_000, False, "#"),
        (1, 0, True, ""),
    ],
)
def test_bars(value: float, most: float, blocks: bool, text: str) -> None:
    """A bar is proportional to the maximum; any positive value is visible."""
    assert bar(value, most, 8, blocks=blocks) == text


def test_drawing() -> None:
    """Limits and numbers are aligned, and the longest bar ends at the width."""
    text = draw("latency, 13 calls", [Step(5 * MS, 10), Step(10 * MS, 0), Step(20 * MS, 3)], 30, blocks=False)
    assert text.split("\n") == [
        "latency, 13 calls",
        "  <= 5.0ms 10 ################",
        "  <= 10ms   0",
        "  <= 20ms   3 ####",
    ]

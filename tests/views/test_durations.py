"""Tests of durations for people."""

from moonpalace_addons.views.durations import duration
from tests.tables import for_each

MS, S = 10**6, 10**9


@for_each(
    ("nanoseconds", "text"),
    [
        (None, ""),
        (0, "0us"),
        (450_999, "450us"),
        (999_999, "999us"),
        (1_250_000, "1.2ms"),
        (9_949_999, "9.9ms"),
        (9_970_000, "9.9ms"),
        (35 * MS, "35ms"),
        (999 * MS + 999_999, "999ms"),
        (1_170 * MS, "1.17s"),
        (9_990 * MS, "9.99s"),
        (9_997 * MS, "10.0s"),
        (16_600 * MS, "16.6s"),
        (59_940 * MS, "59.9s"),
        (59_970 * MS, "1m00s"),
        (125 * S, "2m05s"),
        (3_725 * S, "1h02m"),
        (-2 * S, "-2.00s"),
    ],
)
def test_durations(nanoseconds: int | None, text: str) -> None:
    """A duration has two or three digits and its unit; an unknown one is empty."""
    assert duration(nanoseconds) == text

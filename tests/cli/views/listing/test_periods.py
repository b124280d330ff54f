"""Tests of dividing time into periods."""

import time
from datetime import datetime

import pytest

from moonpalace_cli.views.listing.periods import HOUR, MAX_PERIODS, MICROSECONDS, WIDTHS, start_text, starts, width_for


def moment(text: str) -> int:
    """Return a local time in microseconds since the epoch."""
    return int(datetime.fromisoformat(text).timestamp() * MICROSECONDS)


@pytest.mark.parametrize(
    ("first", "last", "width", "expected"),
    [
        ("2026-11-30 09:00:30", "2026-11-30 09:01:59.999999", "1 minute", ["2026-11-30 09:00", "2026-11-30 09:01"]),
        ("2026-11-30 09:00", "2026-11-30 09:00", "1 minute", ["2026-11-30 09:00"]),
        ("2026-11-30 09:03", "2026-11-30 10:04", "5 minutes", [f"2026-11-30 {at}" for at in (
            *(f"09:{minute:02}" for minute in range(0, 60, 5)), "10:00")]),
        ("2026-11-30 22:30", "2026-12-01 00:10", "5 minutes", None),
        ("2026-11-30 05:59", "2026-12-04 12:00", "6 hours", None),
        ("2026-10-24 10:00", "2026-11-30 10:00", "1 day", None),
        ("2026-01-05 00:00", "2026-11-30 10:00", "1 week", None),
        ("2025-10-31 10:00", "2027-02-01 00:00", "1 month", None),
        ("1970-01-02 10:00", "2026-11-30 10:00", "1 year", None),
    ],
)  # fmt: skip
def test_widths(first: str, last: str, width: str, expected: list[str] | None) -> None:
    """The range determines the width; periods begin at natural times, and cover the first and the last call."""
    one, other = moment(first), moment(last)
    result = width_for(one, other)
    assert result.name == width
    edges = starts(result, one, other)
    assert edges[0] <= one < edges[1]
    assert edges[-2] <= other < edges[-1]
    assert len(edges) <= MAX_PERIODS + 2
    if expected is not None:
        assert [start_text(edge, result) for edge in edges[:-1]] == expected
    elif result.seconds > HOUR:
        assert {datetime.fromtimestamp(edge / MICROSECONDS).hour % 6 for edge in edges} == {0}


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: width.name)
def test_daylight_saving(monkeypatch: pytest.MonkeyPatch, day: str, width: object) -> None:
    """If a day has 23 or 25 hours, periods are still contiguous, and days begin at midnight."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    (found,) = [each for each in WIDTHS if each == width]
    first, last = moment(f"{day} 00:00"), moment(f"{day} 23:59")
    edges = starts(found, first, last)
    assert edges == sorted(set(edges))
    assert edges[0] <= first
    assert edges[-2] <= last < edges[-1]
    if found.seconds >= 86_400:
        assert {datetime.fromtimestamp(edge / MICROSECONDS).hour for edge in edges} == {0}

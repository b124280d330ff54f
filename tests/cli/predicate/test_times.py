"""Tests of the times that predicates compare with."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from moonpalace_cli.predicate.times import Period, before_now, day, read_time

NOW = datetime(2024, 7, 29, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the clock where it is put forward and back."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def micro(*parts: int) -> int:
    """Return a moment in UTC as the store has it."""
    year, month, day, *clock = parts
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000


EXACT = micro(2024, 7, 29, 21, 30, 53) + 250_000


@pytest.mark.parametrize(
    ("text", "start", "end", "coarse"),
    [
        ("2024-07-29", micro(2024, 7, 28, 22), micro(2024, 7, 29, 22), True),
        (" 2024-7-9 ", micro(2024, 7, 8, 22), micro(2024, 7, 9, 22), True),
        ("2024-07", micro(2024, 6, 30, 22), micro(2024, 7, 31, 22), True),
        ("2024-12", micro(2024, 11, 30, 23), micro(2024, 12, 31, 23), True),
        ("2024-02-29", micro(2024, 2, 28, 23), micro(2024, 2, 29, 23), True),
        ("2024-03-31", micro(2024, 3, 30, 23), micro(2024, 3, 31, 22), True),
        ("2024-10-27", micro(2024, 10, 26, 22), micro(2024, 10, 27, 23), True),
        ("2024-07-29 21:30", micro(2024, 7, 29, 19, 30), micro(2024, 7, 29, 19, 31), True),
        ("2024-07-29 21:30:53", micro(2024, 7, 29, 19, 30, 53), micro(2024, 7, 29, 19, 30, 54), False),
        ("2024-07-29T21:30:53Z", micro(2024, 7, 29, 21, 30, 53), micro(2024, 7, 29, 21, 30, 54), False),
        ("2024-07-29T21:30:53+0800", micro(2024, 7, 29, 13, 30, 53), micro(2024, 7, 29, 13, 30, 54), False),
        ("2024-07-29Z", micro(2024, 7, 29), micro(2024, 7, 30), True),
        ("2024-07-29T21:30:53.250z", EXACT, EXACT + 1, False),
    ],
)
def test_time(text: str, start: int, end: int, coarse: bool) -> None:
    """A time is what was written of it: a month, a day, a minute, a second or less; local without a zone."""
    assert read_time(text) == Period(start, end, coarse)


NONE = ["", "today", "2024", "2024-13-01", "2024-02-30", "2024-07-29 25:00", "0000-01-01", "9999-12-31 1", "12:00"]


@pytest.mark.parametrize("text", [*NONE, "2024-07-29+99:00"])
def test_no_time(text: str) -> None:
    """What is no time gives none, and no error."""
    assert read_time(text) is None


def test_before_now() -> None:
    """A length of time counts from now, to the microsecond."""
    moment = micro(2024, 7, 29, 10)
    assert before_now(-7_200_000_000_000, NOW) == Period(moment, moment + 1, coarse=False)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", micro(2024, 7, 28, 22), micro(2024, 7, 29, 22)),
        (" Yesterday ", micro(2024, 7, 27, 22), micro(2024, 7, 28, 22)),
    ],
)
def test_day(name: str, start: int, end: int) -> None:
    """Today and yesterday are days of the local calendar."""
    assert day(name, NOW) == Period(start, end, coarse=True)


def test_day_with_25_hours() -> None:
    """A day lasts until the next one begins, whatever is done to the clocks."""
    assert day("yesterday", datetime(2024, 10, 28, 12, tzinfo=UTC)) == Period(
        micro(2024, 10, 26, 22), micro(2024, 10, 27, 23), coarse=True
    )


def test_no_day() -> None:
    """Other words are none."""
    assert day("tomorrow", NOW) is None

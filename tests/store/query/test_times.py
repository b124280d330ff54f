"""Tests of the times in predicates."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.store.query.times import Period, read_time, since
from moonpalace_addons.store.records.values import EPOCH, MICROSECOND
from tests.tables import for_each

NOW = datetime(2024, 7, 29, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set a time zone with daylight saving time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def micro(*parts: int) -> int:
    """Return a UTC time as stored."""
    year, month, day, *clock = parts
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000


EXACT = micro(2024, 7, 29, 21, 30, 53) + 250_000


@for_each(
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
        ("21:30", micro(2024, 7, 29, 19, 30), micro(2024, 7, 29, 19, 31), True),
        ("9:30:15", micro(2024, 7, 29, 7, 30, 15), micro(2024, 7, 29, 7, 30, 16), False),
        ("today", micro(2024, 7, 28, 22), micro(2024, 7, 29, 22), True),
        (" Yesterday ", micro(2024, 7, 27, 22), micro(2024, 7, 28, 22), True),
    ],
)
def test_time(text: str, start: int, end: int, coarse: bool) -> None:
    """A time is as precise as it is written: a month, a day, a minute, a second or less; local without a zone."""
    assert read_time(text, NOW) == Period(start, end, coarse)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("-2h", micro(2024, 7, 29, 10)),
        ("2h", micro(2024, 7, 29, 10)),
        ("-30m", micro(2024, 7, 29, 11, 30)),
        ("-90s", micro(2024, 7, 29, 11, 58, 30)),
        ("-1d12h", micro(2024, 7, 28)),
        ("-1.5h", micro(2024, 7, 29, 10, 30)),
        ("-2W", micro(2024, 7, 15, 12)),
    ],
)
def test_ago(text: str, moment: int) -> None:
    """A duration counts back from now, to the microsecond, with a minus or without."""
    assert read_time(text, NOW) == Period(moment, moment + 1, coarse=False)


def test_day_with_25_hours() -> None:
    """A day lasts until the next one begins, even with daylight saving time."""
    assert read_time("yesterday", datetime(2024, 10, 28, 12, tzinfo=UTC)) == Period(
        micro(2024, 10, 26, 22), micro(2024, 10, 27, 23), coarse=True
    )


DATES = ["2024", "2024-13-01", "2024-02-30", "2024-07-29 25:00", "0000-01-01", "9999-12-31 1", "2024-07-29+99:00"]


@for_each("text", ["", "soon", "tomorrow", "-2", "2y", "-h", "２h", "25:00", "-99999999999999d", *DATES])
def test_no_time(text: str) -> None:
    """Anything else is rejected with valid examples."""
    assert read_time(text, NOW) is None
    with pytest.raises(ValueError, match="is not a time: write -2h, -1d12h, '2024-07'"):
        since(text, NOW)


def test_since() -> None:
    """An option for a time takes the start of its period, with its time zone."""
    result = since("2024-07", NOW)
    assert result.isoformat() == "2024-07-01T00:00:00+02:00"


@given(st.text(max_size=12) | st.from_regex(r"[-0-9]{0,12}[smhdw:T Z+]{0,3}[-0-9:]{0,8}", fullmatch=True))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """Any text is a time or rejected; an option and a predicate agree."""
    period = read_time(text, NOW)
    try:
        result = since(text, NOW)
    except ValueError:
        return
    assert period is not None
    assert result == EPOCH + period.start * MICROSECOND

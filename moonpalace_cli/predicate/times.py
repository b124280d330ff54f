"""Read the times that predicates compare with: dates, moments, and lengths of time before now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = {"today": 0, "yesterday": 1}
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
WRITTEN = re.compile(
    r"\s*(?P<date>[0-9]{4}-[0-9]{1,2}(?:-[0-9]{1,2})?)"
    r"(?:[T ]\s*(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?))?"
    r"\s*(?P<zone>[zZ]|[+-][0-9]{2}:?(?:[0-9]{2})?)?\s*"
)


@dataclass(frozen=True, slots=True)
class Period:
    """A time as it was written, in microseconds since the epoch: from `start` to before `end`.

    It is `coarse` if it names a day or a minute and not a second.
    """

    start: int
    end: int
    coarse: bool


def read_time(text: str) -> Period | None:
    """Return the period that a text names, local where it has no zone; None if it is no time."""
    match = WRITTEN.fullmatch(text)
    if match is None:
        return None
    zone = (match["zone"] or "").upper().replace("Z", "+00:00")
    try:
        start = aware(f"{padded(match['date'])}T{clock(match['time'])}", zone)
        end = start_of_next(match["date"], match["time"], start, zone)
        return Period(microseconds(start), microseconds(end), coarse=(match["time"] or "").count(":") < 2)
    except (ValueError, OverflowError, OSError):
        return None


def padded(date: str) -> str:
    """Return a date as ISO 8601 has it; of a month, its first day."""
    year, month, *day = date.split("-")
    return f"{year}-{month:0>2}-{day[0] if day else '1':0>2}"


def clock(time: str | None) -> str:
    """Return a time of day as ISO 8601 has it."""
    if time is None:
        return "00:00"
    hour, rest = time.replace(",", ".").split(":", 1)
    return f"{hour:0>2}:{rest}"


def aware(text: str, zone: str) -> datetime:
    """Return the moment, local without a zone."""
    moment = datetime.fromisoformat(text + zone)
    return moment if moment.tzinfo else moment.astimezone()


def start_of_next(date: str, time: str | None, start: datetime, zone: str) -> datetime:
    """Return the end of what was written: of the month, day, minute, second, or microsecond."""
    if time is None:
        day = datetime.fromisoformat(padded(date))
        following = (day.replace(day=28) + timedelta(days=4)).replace(day=1) if date.count("-") == 1 else day
        # Not 24 hours later: clocks are put forward and back.
        return aware((following if following != day else day + timedelta(days=1)).isoformat(), zone)
    if time.count(":") == 1:
        return start + timedelta(minutes=1)
    return start + (MICROSECOND if "." in clock(time) else SECOND)


def day(name: str, now: datetime) -> Period | None:
    """Return the day called today or yesterday at `now`; None for another name."""
    if name.strip().lower() not in DAYS:
        return None
    date = now.astimezone().date() - timedelta(days=DAYS[name.strip().lower()])
    return read_time(date.isoformat())


def microseconds(moment: datetime) -> int:
    """Return a moment as the store has it."""
    return (moment - EPOCH) // MICROSECOND


def before_now(nanoseconds: int, now: datetime) -> Period:
    """Return the moment that is so far from now; negative lengths lie in the past."""
    moment = microseconds(now) + nanoseconds // 1_000
    return Period(moment, moment + 1, coarse=False)

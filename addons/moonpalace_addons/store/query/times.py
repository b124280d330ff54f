"""Parse the times that users write in options and predicates: dates, times of day and relative times.

Each is a period: `2024-07` a month, `2024-07-29` and `today` a day, `21:30` a minute of today, `-2h` one moment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from moonpalace_addons.store.query.literals import read_span
from moonpalace_addons.store.records.values import EPOCH, MICROSECOND, microseconds

DAYS = {"today": 0, "yesterday": 1}
SECOND = timedelta(seconds=1)
CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
DATE_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{1,2}(?:-[0-9]{1,2})?)"
    rf"(?:[T ]\s*(?P<time>{CLOCK}))?"
    r"\s*(?P<zone>[zZ]|[+-][0-9]{2}:?(?:[0-9]{2})?)?"
)
RELATIVE = re.compile(r"-?((?:[0-9]+(?:\.[0-9]+)?[smhdw])+)")

EXAMPLES = (
    "-2h, -1d12h, '2024-07', '2024-07-29', '2024-07-29 21:30:53', '2024-07-29T21:30:53+08:00', '21:30', "
    "today or yesterday"
)
"""Examples valid both in predicates and in a shell."""


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open period from `start` to `end`, in microseconds since the epoch.

    `coarse` means that the text names a month, a day or a minute rather than a second.
    """

    start: int
    end: int
    coarse: bool


def read_time(text: str, now: datetime) -> Period | None:
    """Return the period that a text names at `now`, in local time without a zone; None if it is not a time."""
    word = text.strip()
    try:
        if ago := RELATIVE.fullmatch(word.lower()):
            return moment(microseconds(now) - read_span(ago[1]) // 1_000)
        if word.lower() in DAYS:
            return date_period(today(now, DAYS[word.lower()]))
        return date_period(f"{today(now)} {word}" if re.fullmatch(CLOCK, word) else word)
    except (ValueError, OverflowError, OSError):
        return None


def since(text: str, now: datetime) -> datetime:
    """Return the start of the period that a text names; raises ValueError with examples if it is not a time."""
    period = read_time(text, now)
    try:
        if period is not None:
            return (EPOCH + period.start * MICROSECOND).astimezone()
    except (OverflowError, OSError):
        pass
    raise ValueError(f"{text!r} is not a time: write {EXAMPLES}")


def today(now: datetime, days_ago: int = 0) -> str:
    """Return the local date `days_ago` days ago, in ISO 8601."""
    return (now.astimezone().date() - timedelta(days=days_ago)).isoformat()


def date_period(text: str) -> Period | None:
    """Return the period of a date with an optional time of day; None if the text is neither."""
    match = DATE_TIME.fullmatch(text)
    if match is None:
        return None
    zone = (match["zone"] or "").upper().replace("Z", "+00:00")
    start = aware(f"{padded(match['date'])}T{clock(match['time'])}", zone)
    end = start_of_next(match["date"], match["time"], start, zone)
    return Period(microseconds(start), microseconds(end), coarse=(match["time"] or "").count(":") < 2)


def padded(date: str) -> str:
    """Return a date in ISO 8601; for a month, its first day."""
    year, month, *day = date.split("-")
    return f"{year}-{month:0>2}-{day[0] if day else '1':0>2}"


def clock(time: str | None) -> str:
    """Return a time of day in ISO 8601."""
    if time is None:
        return "00:00"
    hour, rest = time.replace(",", ".").split(":", 1)
    return f"{hour:0>2}:{rest}"


def aware(text: str, zone: str) -> datetime:
    """Return the datetime, in local time if there is no zone."""
    moment = datetime.fromisoformat(text + zone)
    return moment if moment.tzinfo else moment.astimezone()


def start_of_next(date: str, time: str | None, start: datetime, zone: str) -> datetime:
    """Return the end of the month, day, minute, second or microsecond that was written."""
    if time is None:
        day = datetime.fromisoformat(padded(date))
        following = (day.replace(day=28) + timedelta(days=4)).replace(day=1) if date.count("-") == 1 else day
        # Not 24 hours later, because of daylight saving time.
        return aware((following if following != day else day + timedelta(days=1)).isoformat(), zone)
    if time.count(":") == 1:
        return start + timedelta(minutes=1)
    return start + (MICROSECOND if "." in clock(time) else SECOND)


def moment(at: int) -> Period:
    """Return the period of a single microsecond."""
    return Period(at, at + 1, coarse=False)

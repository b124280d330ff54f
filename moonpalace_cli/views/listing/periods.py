"""Divide the time span of calls into periods of one width in local time: minutes, hours, days."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_PERIODS = 60
"""Approximate maximum number of bars that can be distinguished."""
MICROSECONDS = 1_000_000
MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Width:
    """A width of periods: its usual seconds, and for calendar units the functions for the first and the next start."""

    name: str
    seconds: int
    floor: Callable[[datetime], datetime] | None = None
    following: Callable[[datetime], datetime] | None = None


def midnight(moment: datetime) -> datetime:
    """Return the start of a day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def monday(moment: datetime) -> datetime:
    """Return the start of a week."""
    return midnight(moment) - timedelta(days=moment.weekday())


def first_of_month(moment: datetime) -> datetime:
    """Return the start of a month."""
    return midnight(moment).replace(day=1)


def next_month(moment: datetime) -> datetime:
    """Return the start of the month after the one that starts at `moment`."""
    return (moment + timedelta(days=32)).replace(day=1)


def new_year(moment: datetime) -> datetime:
    """Return the start of a year."""
    return first_of_month(moment).replace(month=1)


WIDTHS = (
    Width("1 minute", MINUTE),
    Width("5 minutes", 5 * MINUTE),
    Width("15 minutes", 15 * MINUTE),
    Width("1 hour", HOUR),
    Width(
        "6 hours", 6 * HOUR, lambda at: midnight(at).replace(hour=at.hour // 6 * 6), lambda at: at + timedelta(hours=6)
    ),
    Width("1 day", DAY, midnight, lambda at: at + timedelta(days=1)),
    Width("1 week", 7 * DAY, monday, lambda at: at + timedelta(days=7)),
    Width("1 month", 30 * DAY, first_of_month, next_month),
    Width("1 year", 365 * DAY, new_year, lambda at: at.replace(year=at.year + 1)),
)
"""Narrowest first; each period starts at the start of one of the previous width."""


def width_for(first: int, last: int) -> Width:
    """Return the narrowest width of which not too many periods cover both times, in microseconds since the epoch."""
    return next((each for each in WIDTHS if last - first < MAX_PERIODS * each.seconds * MICROSECONDS), WIDTHS[-1])


def starts(width: Width, first: int, last: int) -> list[int]:
    """Return the starts of the periods from that of `first` to that of `last`, and the end of the last one."""
    if width.floor is None or width.following is None:
        # In the zone's standard time, without daylight saving: an hour starts where it started half a year ago.
        step, offset = width.seconds * MICROSECONDS, -time.timezone * MICROSECONDS
        start = (first + offset) // step * step - offset
        return list(range(start, last + step + 1, step))
    naive = width.floor(datetime.fromtimestamp(first / MICROSECONDS).astimezone().replace(tzinfo=None))
    times = [epoch(naive)]
    while times[-1] <= last:
        naive = width.following(naive)
        times.append(epoch(naive))
    return times


def epoch(local: datetime) -> int:
    """Return a local time in microseconds since the epoch."""
    return int(local.timestamp()) * MICROSECONDS


def start_text(start: int, width: Width) -> str:
    """Return the local start time of a period, in the precision of its width."""
    return local(start).strftime("%Y-%m-%d" if width.seconds >= DAY else "%Y-%m-%d %H:%M")


def local(moment: int) -> datetime:
    """Return a moment in local time."""
    return datetime.fromtimestamp(moment // MICROSECONDS).astimezone()

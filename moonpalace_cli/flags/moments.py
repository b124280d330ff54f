"""Read moments that users write: dates, times, and how long ago."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGO = re.compile(r"-?((?:\d+(?:\.\d+)?[smhdw])+)", re.ASCII)
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?", re.ASCII)
HINT = "write -2h, -30m or -1d12h for how long ago, 2024-07-29, '2024-07-29 21:30:43', 21:30, today or yesterday"


def parse(text: str, now: datetime) -> datetime:
    """Return the moment that the text means at `now`; local time unless the text brings an offset.

    Raises ValueError with a hint for what means none.
    """
    word = text.strip().lower()
    try:
        if AGO.fullmatch(word):
            return now - ago(word)
        if word in ("today", "yesterday"):
            return midnight(now - timedelta(days=word == "yesterday"))
        if CLOCK.fullmatch(word):
            return datetime.combine(now.astimezone().date(), time.fromisoformat(word.zfill(len("00:00")))).astimezone()
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is no time: {HINT}") from error


def ago(word: str) -> timedelta:
    """Return how long ago a text like -1h30m means."""
    total = timedelta()
    for amount, unit in AMOUNT.findall(word):
        total += timedelta(**{UNITS[unit]: float(amount)})
    return total


def midnight(moment: datetime) -> datetime:
    """Return the beginning of the local day."""
    return datetime.combine(moment.astimezone().date(), time()).astimezone()

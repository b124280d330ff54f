"""Parse whole numbers."""

from __future__ import annotations

import re

import click

MAX_INTEGER = 2**63 - 1
"""The largest integer that a database can store."""
MAX_SHOWN = 2**31 - 1
"""The help and error messages omit an upper bound from here on."""


class WholeNumber(click.types.IntParamType):
    """A whole number within bounds; the help omits bounds that are only a database's limit."""

    name = "number"

    def __init__(self, lower: int = 0, upper: int = MAX_INTEGER) -> None:
        self.lower = lower
        self.upper = upper

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; fail with the allowed range."""
        text = str(value).strip()
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else None
        if number is None or not self.lower <= number <= self.upper:
            allowed = f"{self.lower} or more" if self.upper >= MAX_SHOWN else f"from {self.lower} to {self.upper}"
            self.fail(f"{text[:50]!r} must be a whole number, {allowed}", param, ctx)
        return number

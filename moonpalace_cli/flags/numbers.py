"""Read whole numbers that users write."""

from __future__ import annotations

import re

import click

MAX_INTEGER = 2**63 - 1
"""The largest number that a database holds."""
MAX_SHOWN = 2**31 - 1
"""A bound that nobody needs to be told."""


class WholeNumber(click.types.IntParamType):
    """A whole number between two others; the help need not tell what is only a database's limit."""

    name = "number"

    def __init__(self, lower: int = 0, upper: int = MAX_INTEGER) -> None:
        self.lower = lower
        self.upper = upper

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; fails with what is allowed."""
        text = str(value).strip()
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else None
        if number is None or not self.lower <= number <= self.upper:
            allowed = f"{self.lower} or more" if self.upper >= MAX_SHOWN else f"from {self.lower} to {self.upper}"
            self.fail(f"{text[:50]!r} must be a whole number, {allowed}", param, ctx)
        return number

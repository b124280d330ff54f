"""Read whole numbers that users write."""

from __future__ import annotations

import re

import click

LARGEST = 2**63 - 1
"""The largest number that a database holds."""
LARGE = 2**31 - 1
"""A bound that nobody needs to be told."""


class Whole(click.types.IntParamType):
    """A whole number between two others; the help need not tell what is only a database's limit."""

    name = "number"

    def __init__(self, least: int = 0, most: int = LARGEST) -> None:
        self.least = least
        self.most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; fails with what is allowed."""
        text = str(value).strip()
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else None
        if number is None or not self.least <= number <= self.most:
            allowed = f"{self.least} or more" if self.most >= LARGE else f"from {self.least} to {self.most}"
            self.fail(f"{text[:50]!r} must be a whole number, {allowed}", param, ctx)
        return number

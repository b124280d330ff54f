"""Paths as command-line values."""

from __future__ import annotations

import os

import click


class GivenPath(click.Path):
    """A non-empty path: an empty one, as from an unset shell variable, would mean the current folder."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path; fail for an empty one."""
        if not os.fspath(value):
            self.fail("the path is empty: is it a variable that is not set?", param, ctx)
        return super().convert(value, param, ctx)

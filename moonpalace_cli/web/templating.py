"""The templates of the pages: all values are escaped, and invisible characters are shown."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from moonpalace_addons.views.durations import duration
from moonpalace_cli.web.static_files import static
from moonpalace_cli.web.texts import one_line, shown

FOLDER = Path(__file__).parent


def harmless(value: object) -> object:
    """Return a value for a page: a text with its invisible characters shown, our own HTML unchanged, None as empty."""
    if hasattr(value, "__html__"):
        return value
    return "" if value is None else shown(value) if isinstance(value, str) else value


@cache
def templates() -> Environment:
    """Return the environment of all templates."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        finalize=harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "one_line": one_line}
    environment.globals["static"] = static
    return environment

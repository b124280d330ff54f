"""Write to whatever standard output is: a terminal, a pipe, one that knows no Chinese."""

import io
import re
import shutil
import sys

import click

from moonpalace_cli.text.json_text import JSON_ESCAPES

# What a terminal would obey rather than show: controls, and the marks that turn the direction of text around.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def make_streams_lenient() -> None:
    """Let both streams escape the characters that their encoding lacks instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    return sys.stdout.isatty()


def terminal_width() -> int | None:
    """Return the columns of the terminal, None where standard output is none."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def is_utf8() -> bool:
    """Tell whether standard output is in UTF-8."""
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"


def ellipsis() -> str:
    """Return a mark of one column for what was left out, of which standard output is sure to know the width."""
    return "…" if is_utf8() else "~"


def visible(text: str) -> str:
    """Return the text with escapes for what standard output cannot show and for what a terminal would obey."""
    encoding = sys.stdout.encoding
    shown = CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text.expandtabs(4))
    return shown if shown.isascii() else shown.encode(encoding, JSON_ESCAPES).decode(encoding)


def print_json(text: str, *, end: bool = True) -> None:
    """Print JSON text so that it stays JSON: what goes to a file or a pipe is valid UTF-8 whatever the locale.

    Without `end` no line end is added.
    """
    encoding = sys.stdout.encoding if is_terminal() else "utf-8" if is_utf8() else "ascii"
    click.echo(text.encode(encoding, JSON_ESCAPES).decode(encoding), nl=end)


def print_text(text: str) -> None:
    """Print text as it is into files and pipes (in UTF-8), made visible on a terminal."""
    if is_terminal():
        click.echo(visible(text), nl=False)
    else:
        click.echo(text.encode("utf-8", "surrogatepass"), nl=False)

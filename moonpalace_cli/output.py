"""Write to standard output, whether it is a terminal, a pipe, or in an encoding without Chinese."""

import io
import os
import re
import shutil
import sys
import textwrap

import click

from moonpalace_addons.wire.escaping import escaped
from moonpalace_addons.wire.json_text import JSON_ESCAPES

OURS = re.compile(r"(\x1b\[(?:[0-9;]*m|K|\?25[hl])|\r)")
"""The sequences that we, and click for us, write to a terminal: colours, and the cursor movements of a progress bar."""

WITHOUT_UTF8 = str.maketrans({"→": ">", "…": "~", "·": "-"})
"""Our signs in ASCII."""


class Terminal(io.TextIOWrapper):
    """A terminal stream that escapes everything it cannot print, as a safety net for all commands."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.buffer, stream.encoding, "backslashreplace", line_buffering=True)
        self._shadowed = stream  # keep a reference: its finalizer would close the terminal

    def isatty(self) -> bool:
        """Return the wrapped stream's result."""
        return self._shadowed.isatty()

    def write(self, text: str, /) -> int:
        """Write a text, with escapes for non-printable characters."""
        super().write(harmless(text))
        return len(text)


STREAMS = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
"""The standard streams by number, and how closed ones are opened.

Writing to a closed standard output must fail, since its data is lost. Standard error may be dropped.
"""


def open_missing_streams() -> None:
    """Open standard streams that were closed at start, before another file or socket gets their numbers."""
    for number, (name, mode, flags) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            os.open(os.devnull, flags)  # gets the lowest free number
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def make_streams_lenient() -> None:
    """Make both streams escape characters that their encoding lacks or that a terminal cannot print."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        if isinstance(stream, io.TextIOWrapper) and stream.isatty() and not isinstance(stream, Terminal):
            setattr(sys, name, Terminal(stream))


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def terminal_width() -> int | None:
    """Return the columns of the terminal, None if standard output is not one."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def is_utf8() -> bool:
    """Return whether standard output is UTF-8."""
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"


def ellipsis() -> str:
    """Return an ellipsis of one column that standard output can encode."""
    return "…" if is_utf8() else "~"


def visible(text: str) -> str:
    """Return the text with escapes for what standard output cannot show or a terminal would interpret."""
    encoding = sys.stdout.encoding
    safe = escaped(text.expandtabs(4))
    return safe if safe.isascii() else signs(safe).encode(encoding, JSON_ESCAPES).decode(encoding)


def signs(text: str) -> str:
    """Return the text with our signs in ASCII if standard output is not UTF-8."""
    return text if is_utf8() else text.translate(WITHOUT_UTF8)


def harmless(text: str) -> str:
    """Return a command's output for a terminal, with escapes for everything not printable, except our own sequences."""
    if text.isprintable():
        return text
    return "".join([piece if place % 2 else escaped(piece) for place, piece in enumerate(OURS.split(text))])


def note(text: str) -> None:
    """Print a sentence to standard error; on a terminal it is wrapped between words."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    click.echo(text, err=True)


def print_json(text: str, *, end: bool = True) -> None:
    """Print JSON text; in a file or pipe it is valid UTF-8 whatever the locale.

    Without `end` no line end is added.
    """
    encoding = sys.stdout.encoding if is_terminal() else "utf-8" if is_utf8() else "ascii"
    safe = escaped(text) if is_terminal() else text
    click.echo(safe.encode(encoding, JSON_ESCAPES).decode(encoding), nl=end)


def print_text(text: str) -> None:
    """Print text unchanged into files and pipes (in UTF-8), and escaped on a terminal."""
    if is_terminal():
        click.echo(visible(text), nl=False)
    else:
        click.echo(text.encode("utf-8", "surrogatepass"), nl=False)

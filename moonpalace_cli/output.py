"""Write to whatever standard output is: a terminal, a pipe, one that knows no Chinese."""

import io
import os
import re
import shutil
import sys

import click

from moonpalace_cli.text.json_text import JSON_ESCAPES

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001-\U000e007f]"
)
"""What a terminal would obey, or hide, rather than show: controls, marks of format and direction, line separators."""
OURS = re.compile(r"(\x1b\[(?:[0-9;]*m|K|\?25[hl])|\r)")
"""What we, and click for us, write to a terminal: colours, and the few moves of a bar that grows."""


class Terminal(io.TextIOWrapper):
    """A terminal that gets nothing but what it can print, whatever a command forgot to look at."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.buffer, stream.encoding, "backslashreplace", line_buffering=True)
        self._shadowed = stream  # which would close the terminal if nobody had it any more

    def isatty(self) -> bool:
        """Tell what the stream that it stands for tells."""
        return self._shadowed.isatty()

    def write(self, text: str, /) -> int:
        """Write a text, with escapes for what is not printable."""
        super().write(harmless(text))
        return len(text)


STREAMS = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
"""The standard streams by their numbers, and how those that are closed are opened.

What goes to a closed standard output is missed: writing to it has to fail. What goes to standard error is not.
"""


def open_missing_streams() -> None:
    """Open the standard streams that were closed when we began, before another file or socket gets their numbers."""
    for number, (name, mode, flags) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            os.open(os.devnull, flags)  # gets the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def make_streams_lenient() -> None:
    """Let both streams escape what their encoding lacks instead of failing, and what a terminal cannot print."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        if isinstance(stream, io.TextIOWrapper) and stream.isatty() and not isinstance(stream, Terminal):
            setattr(sys, name, Terminal(stream))


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
    shown = escaped(text.expandtabs(4))
    return shown if shown.isascii() else shown.encode(encoding, JSON_ESCAPES).decode(encoding)


def escaped(text: str) -> str:
    """Return the text with the escapes of JSON for what a terminal would obey, line ends apart."""
    return text if text.isprintable() else CONTROL.sub(escape, text)


def escape(found: re.Match[str]) -> str:
    """Return the escape of a character, of two halves where it is one beyond U+FFFF."""
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


def harmless(text: str) -> str:
    """Return what a command writes to a terminal, with escapes for what is neither printable nor of our making."""
    if text.isprintable():
        return text
    return "".join([piece if place % 2 else escaped(piece) for place, piece in enumerate(OURS.split(text))])


def print_json(text: str, *, end: bool = True) -> None:
    """Print JSON text so that it stays JSON: what goes to a file or a pipe is valid UTF-8 whatever the locale.

    Without `end` no line end is added.
    """
    encoding = sys.stdout.encoding if is_terminal() else "utf-8" if is_utf8() else "ascii"
    shown = escaped(text) if is_terminal() else text
    click.echo(shown.encode(encoding, JSON_ESCAPES).decode(encoding), nl=end)


def print_text(text: str) -> None:
    """Print text as it is into files and pipes (in UTF-8), made visible on a terminal."""
    if is_terminal():
        click.echo(visible(text), nl=False)
    else:
        click.echo(text.encode("utf-8", "surrogatepass"), nl=False)

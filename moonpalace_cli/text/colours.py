"""Colour JSON, HTTP messages and events for a terminal."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import TextIO

import click

from moonpalace_cli.output import is_terminal

RESET = "\x1b[0m"
KEY, STRING, NUMBER, WORD, FAINT, BOLD = ("\x1b[36m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[2m", "\x1b[1m")
ALARM = "\x1b[31m"
OUTCOMES = {"good": STRING, "bad": ALARM, "warning": NUMBER, "quiet": FAINT}
"""The colours of the styles of outcomes."""
TOKEN = re.compile(
    r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")(?P<colon>\s*:)?|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)
FIELD = re.compile(r"(data|event|id|retry)?:")
HEADER = re.compile(r"[\w.-]+:", re.ASCII)


def wanted(stream: TextIO | None = None) -> bool:
    """Return whether to write colours to a stream, by default standard output.

    The flag --color decides; otherwise a terminal that supports colours gets them, unless NO_COLOR is set
    (https://no-color.org).
    """
    context = click.get_current_context(silent=True)
    if context is not None and context.color is not None:
        return context.color
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not is_plain and (is_terminal() if stream is None else stream.isatty())


def paint(text: str, colour: str) -> str:
    """Return the text in a colour; unchanged without a colour or a text."""
    return f"{colour}{text}{RESET}" if text and colour else text


def looks_like_json(text: str) -> bool:
    """Return whether the text begins like a JSON object or array."""
    return text.lstrip()[:1] in ("{", "[")


def paint_body(text: str) -> str:
    """Return a body in colours: indented JSON, or events; other text unchanged."""
    if looks_like_json(text):
        return "\n".join(paint_pieces([line])[0] for line in text.split("\n"))
    return "\n".join(paint_event_line(line) for line in text.split("\n"))


def paint_event_line(line: str) -> str:
    """Return a line of an event stream with a faint field and coloured JSON; any other line unchanged."""
    match = FIELD.match(line)
    if match is None:
        return line
    rest = line[match.end() :]
    return paint(match[0], FAINT) + (paint_pieces([rest])[0] if looks_like_json(rest) else rest)


def paint_message(text: str) -> str:
    """Return an HTTP message in colours."""
    head, blank, body = text.partition("\n\n")
    first, *headers = head.split("\n")
    return "\n".join([paint(first, BOLD), *map(paint_header, headers)]) + blank + paint_body(body)


def paint_header(line: str) -> str:
    """Return a header with its name in a colour."""
    match = HEADER.match(line)
    return line if match is None else paint(match[0], KEY) + line[match.end() :]


def paint_pieces(pieces: Sequence[str]) -> list[str]:
    """Return the pieces of a wrapped line of JSON, each with its own colours."""
    spans = list(spans_of("".join(pieces)))
    painted, start = [], 0
    for piece in pieces:
        painted.append(paint_between(piece, start, spans))
        start += len(piece)
    return painted


def spans_of(line: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, colour) of the coloured parts of a line of JSON."""
    for match in TOKEN.finditer(line):
        kind = match.lastgroup
        if match["string"] is not None:
            yield match.start("string"), match.end("string"), KEY if kind == "colon" else STRING
        else:
            yield match.start(), match.end(), NUMBER if kind == "number" else WORD


def paint_between(piece: str, start: int, spans: Sequence[tuple[int, int, str]]) -> str:
    """Return the piece, which begins at `start` of its line, coloured by the spans that overlap it."""
    result, at, end = "", start, start + len(piece)
    for first, last, colour in spans:
        left, right = max(first, at), min(last, end)
        if left < right:
            result += piece[at - start : left - start] + paint(piece[left - start : right - start], colour)
            at = right
    return result + piece[at - start :]

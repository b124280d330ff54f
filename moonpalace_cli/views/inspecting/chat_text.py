"""Wrap and colour a conversation for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moonpalace_addons.views.chat_text import Line
from moonpalace_cli.output import is_utf8, visible
from moonpalace_cli.text.colours import BOLD, FAINT, KEY, STRING, paint, paint_pieces
from moonpalace_cli.text.tables import fold

MIN_TEXT_WIDTH = 20
ROLES = {"system": FAINT, "user": BOLD + KEY, "assistant": BOLD + STRING, "tool": BOLD}
"""Colours of the headings."""
COLOURS = {"reasoning": FAINT, "call": BOLD, "media": KEY, "quiet": FAINT}
RULE_LENGTH = 2
"""Characters at the beginning of headings that not every encoding has."""
ASCII_RULES = str.maketrans("─═", "-=")


def chat_text(lines: Iterable[Line], *, width: int | None, colour: bool) -> str:
    """Return the lines as text, wrapped to the width of a terminal."""
    return "\n".join([piece for line in lines for piece in wrapped(line, width, colour=colour)])


def wrapped(line: Line, width: int | None, *, colour: bool) -> Iterator[str]:
    """Yield a line, or several if the terminal is narrow.

    Code is left to the terminal's own wrapping, so that it can be copied.
    """
    text = line.text
    if line.look == "heading" and not is_utf8():
        text = text[:RULE_LENGTH].translate(ASCII_RULES) + text[RULE_LENGTH:]
    text = visible(text)
    if line.look == "code":
        yield line.indent + (paint_pieces([text])[0] if colour else text)
        return
    folds = width is not None and line.look not in ("note", "quiet")
    pieces = fold(text, max(MIN_TEXT_WIDTH, (width or 0) - len(line.indent))) if folds else [text]
    style = (ROLES.get(line.role, BOLD) if line.look == "heading" else COLOURS.get(line.look, "")) if colour else ""
    for piece in pieces:
        full = f"{line.indent}{piece}".rstrip()
        yield paint(full, style) if style else full

"""Format a conversation for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import error_text, model
from moonpalace_addons.store.state import State
from moonpalace_cli.calls.conversation import Part, Turn, finish_reasons, usage_line
from moonpalace_cli.output import is_utf8, visible
from moonpalace_cli.text.colours import BOLD, FAINT, KEY, STRING, paint, paint_body
from moonpalace_cli.text.durations import duration
from moonpalace_cli.text.tables import fold

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

INDENT = "  "
MIN_TEXT_WIDTH = 20
ROLES = {"system": FAINT, "user": BOLD + KEY, "assistant": BOLD + STRING, "tool": BOLD}
"""Colours of the headings."""


def chat_text(
    exchange: Exchange,
    asked: Sequence[Turn],
    answered: Sequence[Turn],
    answer: object,
    *,
    width: int | None,
    colour: bool,
) -> str:
    """Return the conversation; the answer comes last, with its ending and its tokens."""
    lines = [line for turn in asked for line in turn_lines(turn, width, colour=colour)]
    title = "answer of " + (model(exchange) or "the API")
    lines += heading(title, closing_note(exchange, answer), "assistant", width, colour=colour, strong=True)
    for place, turn in enumerate(answered):
        named = turn.role not in ("assistant", "error", "answer") or turn.note
        lines += turn_lines(turn, width, colour=colour) if named else part_lines(turn.parts, width, colour=colour)
        lines += [""] if place + 1 < len(answered) else []
    error = error_text(exchange)
    if error and not any(turn.role == "error" for turn in answered):
        state = "error" if exchange.state is State.COMPLETED else exchange.state.value
        lines += ["", state if error == state else f"{state}: {visible(error)}"]
    if usage := usage_line(answer):
        lines += ["", paint(usage, FAINT) if colour else usage]
    return "\n".join(lines)


def closing_note(exchange: Exchange, answer: object) -> str:
    """Return how the call ended, and after what time."""
    reasons = ", ".join(finish_reasons(answer))
    parts = [
        f"finish reason {reasons}" if reasons else "",
        "" if exchange.status_code in (200, None) else f"status {exchange.status_code}",
        duration(exchange.latency),
    ]
    return ", ".join(filter(None, parts))


def turn_lines(turn: Turn, width: int | None, *, colour: bool) -> list[str]:
    """Return a message with its heading, and a blank line after it."""
    return [
        *heading(turn.role, turn.note, turn.role, width, colour=colour),
        *part_lines(turn.parts, width, colour=colour),
        "",
    ]


def heading(title: str, note: str, role: str, width: int | None, *, colour: bool, strong: bool = False) -> list[str]:
    """Return the line above a message, in several if the terminal is narrow."""
    dash = ("=" if strong else "-") if not is_utf8() else "═" if strong else "─"
    line = visible(f"{dash * 2} {title}" + (f" ({note})" if note else "")).replace("\n", " ")
    lines = fold(line, max(width, MIN_TEXT_WIDTH)) if width else [line]
    return [paint(piece, ROLES.get(role, BOLD)) for piece in lines] if colour else lines


def part_lines(parts: Sequence[Part], width: int | None, *, colour: bool) -> list[str]:
    """Return the parts of a message."""
    return [line for part in parts for line in one_part(part, width, colour=colour)]


def one_part(part: Part, width: int | None, *, colour: bool) -> Iterator[str]:
    """Yield the lines of a part: reasoning behind a bar, calls under their name."""
    if part.kind == "call":
        yield from indented(f"call {part.label}", INDENT, width, BOLD if colour else "")
        yield from code(part.text, INDENT * 2, width, colour=colour)
    elif part.kind == "reasoning":
        yield from indented(part.text, INDENT + "| ", width, FAINT if colour else "")
    elif part.kind == "json":
        yield from code(part.text, INDENT, width, colour=colour)
    else:
        text = f"{part.label}: {part.text}" if part.label else part.text
        yield from indented(text, INDENT, width, KEY if colour and part.kind == "media" else "")


def indented(text: str, indent: str, width: int | None, style: str) -> Iterator[str]:
    """Yield the lines of a text, folded where a terminal sets the width."""
    for line in visible(text.replace("\r\n", "\n")).split("\n"):
        for piece in fold(line, max(MIN_TEXT_WIDTH, width - len(indent))) if width else [line]:
            shown = f"{indent}{piece}".rstrip()
            yield paint(shown, style) if style else shown


def code(text: str, indent: str, width: int | None, *, colour: bool) -> Iterator[str]:
    """Yield the lines of coloured JSON; the terminal wraps long ones, so that they can be copied."""
    shown = visible(text)
    for line in (paint_body(shown) if colour else shown).split("\n") if shown else ():
        yield indent + line

"""The lines of a conversation made to be read: roles, texts, reasoning behind a bar, calls under their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from moonpalace_addons.store.fields import error_text, model
from moonpalace_addons.store.state import State
from moonpalace_addons.views.conversation import Conversation, usage_line
from moonpalace_addons.views.durations import duration
from moonpalace_addons.wire.escaping import escaped
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.json_value import mapping

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.wire.faces.turns import Part, Turn

INDENT = "  "
TAB_WIDTH = 4

type Look = Literal["heading", "text", "reasoning", "call", "media", "code", "note", "quiet"]
"""The kind of a line. Code and notes are not wrapped, because users copy them."""


class Line(NamedTuple):
    """A line without characters that a terminal interprets; `role` is set for headings, which begin with a rule."""

    text: str
    look: Look = "text"
    indent: str = ""
    role: str = ""


EMPTY = Line("")


def chat_lines(call: Exchange, conversation: Conversation, answer: object) -> Iterator[Line]:
    """Yield the conversation; the answer comes last, with the way it ended and its tokens."""
    for turn in conversation.request_turns:
        yield from turn_lines(turn)
    yield heading("answer of " + (model(call) or "the API"), closing_note(call, answer), "assistant", rule="══")
    yield from answer_lines(conversation.answer_turns)
    error = error_text(call)
    if error and not any(turn.role == "error" for turn in conversation.answer_turns):
        state = "error" if call.state is State.COMPLETED else call.state.value
        yield EMPTY
        yield Line(state if error == state else f"{state}: {harmless(error)}", "note")
    if usage := usage_line(answer):
        yield EMPTY
        yield Line(usage, "quiet")


def answer_lines(turns: Sequence[Turn]) -> Iterator[Line]:
    """Yield the turns of an answer, without repeating the heading of the whole answer."""
    for place, turn in enumerate(turns):
        is_named = turn.role not in ("assistant", "error", "answer") or turn.note
        yield from turn_lines(turn) if is_named else part_lines(turn.parts)
        if place + 1 < len(turns):
            yield EMPTY


def closing_note(call: Exchange, answer: object) -> str:
    """Return how and after how much time the call ended."""
    reasons = ", ".join(face_of(call.path, [answer]).finish_reasons(mapping(answer)))
    parts = [
        f"finish reason {reasons}" if reasons else "",
        "" if call.status_code in (200, None) else f"status {call.status_code}",
        duration(call.latency),
    ]
    return ", ".join(filter(None, parts))


def turn_lines(turn: Turn) -> Iterator[Line]:
    """Yield a message with its heading, and an empty line after it."""
    yield heading(turn.role, turn.note, turn.role)
    yield from part_lines(turn.parts)
    yield EMPTY


def heading(title: str, note: str, role: str, *, rule: str = "──") -> Line:
    """Return the line above a message."""
    return Line(harmless(f"{rule} {title}" + (f" ({note})" if note else "")).replace("\n", " "), "heading", role=role)


def part_lines(parts: Iterable[Part]) -> Iterator[Line]:
    """Yield the parts of a message."""
    for part in parts:
        if part.kind == "call":
            yield from lines(f"call {part.label}", "call", INDENT)
            yield from code_lines(part.text, INDENT * 2)
        elif part.kind == "reasoning":
            yield from lines(part.text, "reasoning", INDENT + "| ")
        elif part.kind == "json":
            yield from code_lines(part.text, INDENT)
        else:
            text = f"{part.label}: {part.text}" if part.label else part.text
            yield from lines(text, "media" if part.kind == "media" else "text", INDENT)


def lines(text: str, look: Look, indent: str) -> Iterator[Line]:
    """Yield the lines of a text."""
    return (Line(line, look, indent) for line in harmless(text.replace("\r\n", "\n")).split("\n"))


def code_lines(text: str, indent: str) -> Iterator[Line]:
    """Yield the lines of JSON; nothing for an empty text."""
    return lines(text, "code", indent) if text else iter(())


def harmless(text: str) -> str:
    """Return a text in which no character moves the cursor or is invisible."""
    return escaped(text.expandtabs(TAB_WIDTH))


def plain_text(found: Iterable[Line]) -> str:
    """Return the lines as text."""
    return "\n".join([f"{line.indent}{line.text}".rstrip() for line in found])

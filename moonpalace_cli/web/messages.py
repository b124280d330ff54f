"""The conversation of a call as messages of a page: Markdown, collapsed reasoning, tool calls next to their results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

from moonpalace_addons.views.conversation import Conversation
from moonpalace_addons.wire.faces.turns import Part, Turn
from moonpalace_addons.wire.json_text import parse
from moonpalace_addons.wire.json_value import mapping
from moonpalace_cli.web.images import source
from moonpalace_cli.web.json_tree import tree
from moonpalace_cli.web.markdown import Budget, rendered

MARKDOWN_BUDGET = 80_000
"""Maximum characters on a page that are rendered as Markdown, from its end."""
RECENT = 8
"""Messages before the answer that are initially open if there are more than `MANY`."""
MANY = 14
FOLDED_TEXT = 6_000
"""Characters from which an instruction or the result of a tool is collapsed."""
CALL_ID = re.compile(r" \(([^()]+)\)\Z")

type Kind = Literal["html", "plain", "reasoning", "call", "image", "json"]


@dataclass(slots=True)
class Piece:
    """A part of a message; `html` is shown if it is set, else `text`."""

    kind: Kind
    text: str
    html: Markup | None = None
    label: str = ""
    result: Message | None = None


@dataclass(slots=True)
class Message:
    """A message; `is_folded` means that it is collapsed until the user opens it."""

    role: str
    note: str
    pieces: list[Piece] = field(default_factory=list)
    is_folded: bool = False
    is_answer: bool = False

    @property
    def size(self) -> int:
        """The characters of its texts."""
        return sum(len(piece.text) for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Talk:
    """The messages of a page; `earlier` are collapsed together."""

    first: Sequence[Message]
    earlier: Sequence[Message]
    recent: Sequence[Message]
    answer: Sequence[Message]


def talk(conversation: Conversation) -> Talk:
    """Return the conversation of a call; results of tools are placed next to the calls that they answer."""
    budget = Budget(MARKDOWN_BUDGET)
    # From the end: the last messages matter most, and get the budget.
    answer = [message(turn, budget, is_answer=True) for turn in reversed(conversation.answer_turns)][::-1]
    asked = [message(turn, budget) for turn in reversed(conversation.request_turns)][::-1]
    asked = list(beside_calls(asked))
    first = [each for each in asked[:3] if each.role in ("system", "developer", "tools")]
    others = asked[len(first) :]
    if len(others) <= MANY:
        return Talk(first, [], others, answer)
    return Talk(first, others[:-RECENT], others[-RECENT:], answer)


def beside_calls(messages: Sequence[Message]) -> Iterator[Message]:
    """Yield the messages without the results of tools that were moved to their calls."""
    open_calls: dict[str, Piece] = {}
    for each in messages:
        for piece in each.pieces:
            if piece.kind == "call" and (match := CALL_ID.search(piece.label)):
                open_calls[match[1]] = piece
        call = open_calls.pop(each.note.rpartition(" ")[2], None) if each.role == "tool" else None
        if call is None:
            yield each
        else:
            call.result = each


def message(turn: Turn, budget: Budget, *, is_answer: bool = False) -> Message:
    """Return a turn as a message."""
    is_verbatim = turn.role in ("tool", "tools", "error")
    pieces = [piece(part, budget, is_verbatim=is_verbatim) for part in turn.parts]
    result = Message(turn.role, turn.note, pieces, is_answer=is_answer)
    result.is_folded = result.size > FOLDED_TEXT and turn.role in ("system", "developer", "tool", "tools")
    return result


def piece(part: Part, budget: Budget, *, is_verbatim: bool) -> Piece:
    """Return a part of a turn as a piece of a message."""
    if part.kind == "media":
        url = source(mapping(part.content))
        return Piece("image" if url else "plain", url or part.text, label=part.text)
    text = part.text
    if part.kind in ("call", "json"):
        is_json = parse(text) is not None and budget.takes(text)
        return Piece(part.kind, text, tree(text) if is_json else None, part.label)
    if is_verbatim:
        return Piece("plain", text, label=part.label)
    kind: Kind = "reasoning" if part.kind == "reasoning" else "html"
    return Piece(kind, text, rendered(text) if budget.takes(text) else None, part.label)

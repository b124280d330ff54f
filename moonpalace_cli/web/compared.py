"""The comparison of two calls as its page shows it, of a bounded size: texts are cut, and messages are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from typing import Literal, NamedTuple

from moonpalace_addons.wire.faces.turns import Part, Turn
from moonpalace_cli.views.comparing import texts
from moonpalace_cli.views.comparing.comparison import Comparison, Difference
from moonpalace_cli.views.comparing.sequences import Pair
from moonpalace_cli.views.comparing.texts import Run
from moonpalace_cli.web.facts import Fact, facts

KEPT = 300
"""Characters of unchanged text that are shown beside a change."""
MAX_CHANGED = 6_000
"""Characters of a change that are shown on either side."""
MAX_RUNS = 400
"""Changed and unchanged parts of a text that are shown."""
MAX_BEGINNING = 160
"""Characters of an unchanged message that are shown."""
MAX_BEGINNINGS = 200
"""Unchanged messages in a row of which the beginning is shown."""
MAX_ROWS = 100
"""Messages that differ that are shown, of the answers and of the requests each."""
MAX_PARTS = 50
"""Parts of a message that are shown."""
MAX_SHOWN = 400_000
"""Characters of all messages together after which no more are shown."""

SEEN = str.maketrans({" ": "·", "\n": "↵\n", "\t": "→\t", "\r": "␍"})
"""How whitespace is shown where nothing else has changed."""

type Kind = Literal["same", "changed", "rest"]


class Piece(NamedTuple):
    """A piece of a text: unchanged, changed, or left out, of which only the length is known."""

    kind: Kind
    text: str
    size: int


class Block(NamedTuple):
    """A part of a message on one side."""

    kind: str
    label: str
    pieces: Sequence[Piece]


class Side(NamedTuple):
    """A message of one call."""

    role: str
    note: str
    blocks: Sequence[Block]
    rest: int = 0
    """Parts that are left out."""

    @property
    def size(self) -> int:
        """Return how many characters are shown."""
        return sum(len(piece.text) for block in self.blocks for piece in block.pieces)


class Row(NamedTuple):
    """Two messages side by side; None where a call has none."""

    before: Side | None
    after: Side | None


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that follow each other: so many that are the same, with their beginnings, or rows that differ.

    `rest` are the messages that differ and are left out.
    """

    count: int = 0
    same: Sequence[tuple[str, str]] = ()
    rows: Sequence[Row] = ()
    rest: int = 0


class Figure(NamedTuple):
    """A number of both calls under its English name."""

    name: str
    before: Fact | None
    after: Fact | None


@dataclass(frozen=True, slots=True)
class Compared:
    """All that the page of a comparison shows."""

    found: Comparison
    figures: Sequence[Figure]
    parameters: Sequence[tuple[str, Sequence[Piece], Sequence[Piece]]]
    answers: Sequence[Group]
    messages: Sequence[Group]


def compared(found: Comparison) -> Compared:
    """Return what a page shows of a comparison."""
    answers = list(groups(found, found.answered))  # first: they matter most, and get the budget
    parameters = [parameter(found, each) for each in found.parameters]
    return Compared(found, list(figures(found)), parameters, answers, list(groups(found, found.asked)))


def figures(found: Comparison) -> Iterator[Figure]:
    """Yield the numbers of both calls."""
    before, after = ({fact.name: fact for fact in facts(call)} for call in found.calls)
    yield from (
        Figure(name, before.get(name), after.get(name)) for name in max((before, after), key=len) | before | after
    )


def parameter(found: Comparison, each: Difference) -> tuple[str, Sequence[Piece], Sequence[Piece]]:
    """Return a parameter with the pieces of its two values."""
    runs = texts.changes(each.before, each.after, found.budget)
    return each.name, pieces(runs, "before"), pieces(runs, "after")


def groups(found: Comparison, pairs: Sequence[Pair[Turn]]) -> Iterator[Group]:
    """Yield the messages in groups, as far as there is room for them."""
    rows, characters = MAX_ROWS, MAX_SHOWN
    for is_same, some in groupby(pairs, attrgetter("is_same")):
        run = list(some)
        if is_same:
            yield Group(len(run), [beginning(pair.after) for pair in run[:MAX_BEGINNINGS] if pair.after])
            continue
        shown: list[Row] = []
        for pair in run[:rows]:
            if characters <= 0:
                break
            shown.append(row(found, pair))
            characters -= sum(side.size for side in shown[-1] if side)
        rows -= len(shown)
        yield Group(rows=shown, rest=len(run) - len(shown))


def beginning(turn: Turn) -> tuple[str, str]:
    """Return the role of a message and how it begins, in one line."""
    words = " ".join(part.text[: 4 * MAX_BEGINNING] for part in turn.parts).split()
    text = " ".join(words)
    return turn.role, text if len(text) <= MAX_BEGINNING else text[:MAX_BEGINNING] + "…"


def row(found: Comparison, pair: Pair[Turn]) -> Row:
    """Return two messages side by side with what changed within them; one without a counterpart is shown as it is."""
    if pair.before is None or pair.after is None:
        return Row(whole(pair.before), whole(pair.after))
    parts = list(islice(found.parts(pair), MAX_PARTS))
    before = [block(each.before, pieces(runs, "before")) for each, runs in parts if each.before]
    after = [block(each.after, pieces(runs, "after")) for each, runs in parts if each.after]
    return Row(side(pair.before, before), side(pair.after, after))


def whole(turn: Turn | None) -> Side | None:
    """Return a message as it is."""
    return None if turn is None else side(turn, [*map(block, turn.parts[:MAX_PARTS])])


def side(turn: Turn, blocks: Sequence[Block]) -> Side:
    """Return a message of one call, of which these parts are shown."""
    return Side(turn.role, turn.note, blocks, len(turn.parts) - len(blocks))


def block(part: Part, shown: Sequence[Piece] | None = None) -> Block:
    """Return a part of a message, as it is if nothing is known to have changed in it."""
    text = part.text
    return Block(part.kind, part.label, [*cut("same", text, MAX_CHANGED)] if shown is None else shown)


def pieces(runs: Sequence[Run], name: Literal["before", "after"]) -> list[Piece]:
    """Return the pieces of a text on one side; what is long and unchanged is left out but for its ends at changes."""
    texts_of_runs: list[str] = [getattr(run, name) for run in runs]
    found: list[Piece] = []
    for place, (run, text) in enumerate(zip(runs[:MAX_RUNS], texts_of_runs, strict=False)):
        if run.is_same:
            found += ends(text, is_first=place == 0, is_last=place == len(runs) - 1)
        else:
            found += cut("changed", text, MAX_CHANGED)
    return [*found, *rest(sum(map(len, texts_of_runs[MAX_RUNS:])))]


def ends(text: str, *, is_first: bool, is_last: bool) -> Iterator[Piece]:
    """Yield an unchanged text between two changes, without its middle if it is long."""
    if len(text) <= 2 * KEPT:
        yield Piece("same", text, len(text))
        return
    head = text[:KEPT] if is_last or not is_first else ""
    tail = "" if is_last else text[-KEPT:]
    yield Piece("same", head, len(head))
    yield from rest(len(text) - len(head) - len(tail))
    yield Piece("same", tail, len(tail))


def cut(kind: Kind, text: str, limit: int) -> Iterator[Piece]:
    """Yield a text up to a limit."""
    if text:
        is_unseen = kind == "changed" and text.isspace()
        yield Piece(kind, text[:limit].translate(SEEN) if is_unseen else text[:limit], len(text))
    yield from rest(len(text) - limit)


def rest(size: int) -> Iterator[Piece]:
    """Yield what stands for characters that are left out, if there are any."""
    if size > 0:
        yield Piece("rest", "", size)

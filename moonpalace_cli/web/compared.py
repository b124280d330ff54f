"""The comparison of two calls as shown on its page, with a bounded size: texts are cut, and messages left out."""

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
"""Characters of unchanged text that are shown next to a change."""
MAX_CHANGED = 6_000
"""Maximum characters of a change that are shown on each side."""
MAX_RUNS = 400
"""Maximum changed and unchanged parts of a text."""
MAX_BEGINNING = 160
"""Maximum characters of an unchanged message."""
MAX_BEGINNINGS = 200
"""Maximum consecutive unchanged messages whose beginning is shown."""
MAX_ROWS = 100
"""Maximum differing messages of the answers, and of the requests."""
MAX_PARTS = 50
"""Maximum parts of a message."""
MAX_SHOWN = 400_000
"""Maximum characters of all messages together."""

SEEN = str.maketrans({" ": "·", "\n": "↵\n", "\t": "→\t", "\r": "␍"})
"""How whitespace is shown if nothing else has changed."""

type Kind = Literal["same", "changed", "rest"]


class Piece(NamedTuple):
    """A piece of a text: unchanged, changed, or left out, in which case only its length is known."""

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
    """The number of parts that are left out."""

    @property
    def size(self) -> int:
        """The number of characters that are shown."""
        return sum(len(piece.text) for block in self.blocks for piece in block.pieces)


class Row(NamedTuple):
    """Two messages side by side; None for a missing one."""

    before: Side | None
    after: Side | None


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive messages: a number of equal ones, with their beginnings, or rows that differ.

    `rest` is the number of differing messages that are left out.
    """

    count: int = 0
    same: Sequence[tuple[str, str]] = ()
    rows: Sequence[Row] = ()
    rest: int = 0


class Figure(NamedTuple):
    """A number of each call under its English name."""

    name: str
    before: Fact | None
    after: Fact | None


@dataclass(frozen=True, slots=True)
class Compared:
    """The data of a comparison's page."""

    found: Comparison
    figures: Sequence[Figure]
    parameters: Sequence[tuple[str, Sequence[Piece], Sequence[Piece]]]
    answers: Sequence[Group]
    messages: Sequence[Group]


def compared(comparison: Comparison) -> Compared:
    """Return the data of a comparison's page."""
    answers = list(groups(comparison, comparison.answer_pairs))  # first: they matter most, and get the budget
    parameters = [parameter(comparison, each) for each in comparison.parameters]
    return Compared(
        comparison, list(figures(comparison)), parameters, answers, list(groups(comparison, comparison.request_pairs))
    )


def figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield the numbers of both calls."""
    before, after = ({fact.name: fact for fact in facts(call)} for call in comparison.calls)
    yield from (
        Figure(name, before.get(name), after.get(name)) for name in max((before, after), key=len) | before | after
    )


def parameter(comparison: Comparison, each: Difference) -> tuple[str, Sequence[Piece], Sequence[Piece]]:
    """Return a parameter with the pieces of its two values."""
    runs = texts.changes(each.before, each.after, comparison.budget)
    return each.name, pieces(runs, "before"), pieces(runs, "after")


def groups(comparison: Comparison, pairs: Sequence[Pair[Turn]]) -> Iterator[Group]:
    """Yield the messages in groups while there is room for them."""
    rows, characters = MAX_ROWS, MAX_SHOWN
    for is_same, some in groupby(pairs, attrgetter("is_same")):
        run = list(some)
        if is_same:
            yield Group(len(run), [beginning(pair.after) for pair in run[:MAX_BEGINNINGS] if pair.after])
            continue
        pending: list[Row] = []
        for pair in run[:rows]:
            if characters <= 0:
                break
            pending.append(row(comparison, pair))
            characters -= sum(side.size for side in pending[-1] if side)
        rows -= len(pending)
        yield Group(rows=pending, rest=len(run) - len(pending))


def beginning(turn: Turn) -> tuple[str, str]:
    """Return the role of a message and its beginning in one line."""
    words = " ".join(part.text[: 4 * MAX_BEGINNING] for part in turn.parts).split()
    text = " ".join(words)
    return turn.role, text if len(text) <= MAX_BEGINNING else text[:MAX_BEGINNING] + "…"


def row(comparison: Comparison, pair: Pair[Turn]) -> Row:
    """Return two messages side by side with the changes within them; one without a counterpart is shown unchanged."""
    if pair.before is None or pair.after is None:
        return Row(whole(pair.before), whole(pair.after))
    parts = list(islice(comparison.parts(pair), MAX_PARTS))
    before = [block(each.before, pieces(runs, "before")) for each, runs in parts if each.before]
    after = [block(each.after, pieces(runs, "after")) for each, runs in parts if each.after]
    return Row(side(pair.before, before), side(pair.after, after))


def whole(turn: Turn | None) -> Side | None:
    """Return a message unchanged."""
    return None if turn is None else side(turn, [*map(block, turn.parts[:MAX_PARTS])])


def side(turn: Turn, blocks: Sequence[Block]) -> Side:
    """Return a message of one call with these parts."""
    return Side(turn.role, turn.note, blocks, len(turn.parts) - len(blocks))


def block(part: Part, changed: Sequence[Piece] | None = None) -> Block:
    """Return a part of a message; unchanged unless its pieces are given."""
    text = part.text
    return Block(part.kind, part.label, [*cut("same", text, MAX_CHANGED)] if changed is None else changed)


def pieces(runs: Sequence[Run], name: Literal["before", "after"]) -> list[Piece]:
    """Return the pieces of a text on one side; the middle of a long unchanged piece is left out."""
    texts_of_runs: list[str] = [getattr(run, name) for run in runs]
    result: list[Piece] = []
    for place, (run, text) in enumerate(zip(runs[:MAX_RUNS], texts_of_runs, strict=False)):
        if run.is_same:
            result += ends(text, is_first=place == 0, is_last=place == len(runs) - 1)
        else:
            result += cut("changed", text, MAX_CHANGED)
    return [*result, *rest(sum(map(len, texts_of_runs[MAX_RUNS:])))]


def ends(text: str, *, is_first: bool, is_last: bool) -> Iterator[Piece]:
    """Yield an unchanged text between two changes; the middle of a long one is left out."""
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
    """Yield a piece for characters that are left out, if there are any."""
    if size > 0:
        yield Piece("rest", "", size)

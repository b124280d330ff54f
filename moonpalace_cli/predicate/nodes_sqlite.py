"""Look into JSON documents on SQLite, with what version 3.40 has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, FromClause, Numeric, Text, and_, case, column, exists, func, literal, select

from moonpalace_cli.predicate.nodes import Node
from moonpalace_cli.predicate.tree import AnyElement, Element, Member, Step
from moonpalace_cli.predicate.values import Expression, bound

TEXTS = ("text", "array", "object")
NUMBERS = ("integer", "real")
PLAIN = frozenset(chr(code) for code in range(32, 127)) - frozenset('"\\')
"""What a name may consist of to be found by a path: SQLite compares names as they are written, escapes and all."""


@dataclass(frozen=True, slots=True)
class SqliteNode:
    """A place in a document: its JSON, and a path of SQLite's; `level` is how many arrays lie around it."""

    document: ColumnElement[str]
    path: str = "$"
    level: int = 0

    @property
    def kind(self) -> ColumnElement[str]:
        """What is there, in SQLite's words."""
        return func.json_type(self.document, bound(self.path), type_=Text())

    @property
    def exists(self) -> ColumnElement[bool]:
        """Tell that there is something, and not null."""
        return self.kind != "null"

    @property
    def is_text(self) -> ColumnElement[bool]:
        """Tell that there is a string, an array or an object."""
        return self.kind.in_(TEXTS)

    @property
    def is_number(self) -> ColumnElement[bool]:
        """Tell that there is a number."""
        return self.kind.in_(NUMBERS)

    def is_truth(self, truth: bool) -> ColumnElement[bool]:
        """Tell that there is true, or that there is false."""
        return self.kind == ("true" if truth else "false")

    @property
    def text(self) -> ColumnElement[str]:
        """The text there."""
        return func.json_extract(self.document, bound(self.path), type_=Text())

    @property
    def number(self) -> Expression:
        """The number there."""
        return func.json_extract(self.document, bound(self.path), type_=Numeric())

    @property
    def length(self) -> ColumnElement[int]:
        """How many elements, members or characters there are."""
        members = func.json_each(self.document, bound(self.path)).table_valued("key", name=f"member_{self.level}")
        count = select(func.count()).select_from(members).correlate_except(members).scalar_subquery()
        return case(
            (self.kind == "array", func.json_array_length(self.document, bound(self.path))),
            (self.kind == "text", func.length(self.text)),
            (self.kind == "object", count),
        )

    def reachable(self, step: Step) -> bool:
        """Tell whether a path of SQLite's leads there."""
        return isinstance(step, Element) or (isinstance(step, Member) and PLAIN.issuperset(step.name))

    def step(self, step: Step) -> Node:
        """Return the place that lies so much further."""
        if isinstance(step, Member):
            return SqliteNode(self.document, f'{self.path}."{step.name}"', self.level)
        index = step.index if isinstance(step, Element) else 0
        return SqliteNode(self.document, f"{self.path}[{index if index >= 0 else f'#{index}'}]", self.level)

    def branch(self, step: Step, holds: Callable[[Node], ColumnElement[bool]]) -> ColumnElement[bool]:
        """Return the condition that it holds for an element of an array, or for the member of an object."""
        wanted = "array" if isinstance(step, AnyElement) else "object"
        source = func.json_each(case((self.kind == wanted, self.document)), bound(self.path))
        columns = (column("key", Text), column("value", Text), column("type", Text))
        parts = source.table_valued(*columns, name=f"part_{self.level}", joins_implicitly=True)
        condition = holds(SqlitePart(parts, self.level + 1))
        if isinstance(step, Member):
            condition = and_(parts.c.key == bound(step.name), condition)
        return exists(select(literal(1)).select_from(parts).where(condition).correlate_except(parts))


@dataclass(frozen=True, slots=True)
class SqlitePart:
    """A part of a document that SQLite has taken out of it: arrays and objects as JSON, the rest as values of SQL."""

    parts: FromClause
    level: int

    @property
    def exists(self) -> ColumnElement[bool]:
        """Tell that it is not null."""
        return self.parts.c.type != "null"

    @property
    def is_text(self) -> ColumnElement[bool]:
        """Tell that it is a string, an array or an object."""
        return self.parts.c.type.in_(TEXTS)

    @property
    def is_number(self) -> ColumnElement[bool]:
        """Tell that it is a number."""
        return self.parts.c.type.in_(NUMBERS)

    def is_truth(self, truth: bool) -> ColumnElement[bool]:
        """Tell that it is true, or that it is false."""
        return self.parts.c.type == ("true" if truth else "false")

    @property
    def text(self) -> ColumnElement[str]:
        """Its text."""
        return self.parts.c.value

    @property
    def number(self) -> Expression:
        """Its number."""
        return self.parts.c.value

    @property
    def length(self) -> ColumnElement[int]:
        """How many elements, members or characters it has."""
        return case((self.parts.c.type == "text", func.length(self.text)), else_=self._document().length)

    def reachable(self, step: Step) -> bool:
        """Tell whether a path of SQLite's leads there."""
        return self._document().reachable(step)

    def step(self, step: Step) -> Node:
        """Return the place that lies so much further."""
        return self._document().step(step)

    def branch(self, step: Step, holds: Callable[[Node], ColumnElement[bool]]) -> ColumnElement[bool]:
        """Return the condition that it holds for a part of this one."""
        return self._document().branch(step, holds)

    def _document(self) -> SqliteNode:
        return SqliteNode(case((self.parts.c.type.in_(("array", "object")), self.parts.c.value)), "$", self.level)

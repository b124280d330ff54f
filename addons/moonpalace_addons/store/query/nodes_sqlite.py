"""Places in JSON documents on SQLite, found by a function of our own (see `store.query.places`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    FromClause,
    LargeBinary,
    String,
    Text,
    cast,
    column,
    exists,
    func,
    literal,
    select,
    true,
)

from moonpalace_addons.store.query.nodes import Node
from moonpalace_addons.store.query.tree import Element, Member, Path, Step
from moonpalace_addons.store.query.values import Expression

TEXTS = ("text", "array", "object")
NUMBERS = ("integer", "real")


@dataclass(frozen=True, slots=True)
class SqliteNode:
    """A place in a document: arrays and objects as JSON, other values as SQL values, null where there is nothing."""

    place: FromClause

    @property
    def exists(self) -> ColumnElement[bool]:
        """The condition that there is a value other than null."""
        return self.place.c.type != "null"

    @property
    def is_text(self) -> ColumnElement[bool]:
        """The condition that the value is a string, an array or an object."""
        return self.place.c.type.in_(TEXTS)

    @property
    def is_number(self) -> ColumnElement[bool]:
        """The condition that the value is a number."""
        return self.place.c.type.in_(NUMBERS)

    def is_truth(self, truth: bool) -> ColumnElement[bool]:
        """Return the condition that the value is this boolean."""
        return self.place.c.type == ("true" if truth else "false")

    @property
    def text(self) -> ColumnElement[str]:
        """The value as text."""
        return self.place.c.value

    @property
    def number(self) -> Expression:
        """The value as a number."""
        return self.place.c.value

    @property
    def length(self) -> ColumnElement[int]:
        """The number of elements, distinct members or characters, if `any_place` was given a `len` path."""
        return self.place.c.value


def any_place(
    source: FromClause, body: ColumnElement[str], path: Path, holds: Callable[[Node], ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Return the condition that `holds` is true for at least one place that a path leads to in `body`, a column."""
    packed = literal(json.dumps([packed_step(step) for step in path.steps]), String())
    look = func.moonpalace_lengths if path.measured else func.moonpalace_places
    matches = func.json_each(look(cast(body, LargeBinary), packed))
    columns = (column("value", Text), column("type", Text))
    places = matches.table_valued(*columns, name="place", joins_implicitly=True)
    query = select(literal(1)).select_from(source.join(places, true())).where(holds(SqliteNode(places)))
    return exists(query.correlate_except(source, places))


def packed_step(step: Step) -> str | int | None:
    """Return a step as `places` expects it."""
    return step.name if isinstance(step, Member) else step.index if isinstance(step, Element) else None

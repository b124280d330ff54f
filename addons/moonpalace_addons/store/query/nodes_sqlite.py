"""Find what a path leads to in a JSON document on SQLite, by a function of our own (`store.query.places` says why)."""

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
    """A place in a document: arrays and objects as JSON, the rest as values of SQL; null where there is nothing."""

    place: FromClause

    @property
    def exists(self) -> ColumnElement[bool]:
        """Tell that there is something, and not null."""
        return self.place.c.type != "null"

    @property
    def is_text(self) -> ColumnElement[bool]:
        """Tell that there is a string, an array or an object."""
        return self.place.c.type.in_(TEXTS)

    @property
    def is_number(self) -> ColumnElement[bool]:
        """Tell that there is a number."""
        return self.place.c.type.in_(NUMBERS)

    def is_truth(self, truth: bool) -> ColumnElement[bool]:
        """Tell that there is true, or that there is false."""
        return self.place.c.type == ("true" if truth else "false")

    @property
    def text(self) -> ColumnElement[str]:
        """The text there."""
        return self.place.c.value

    @property
    def number(self) -> Expression:
        """The number there."""
        return self.place.c.value

    @property
    def length(self) -> ColumnElement[int]:
        """How many elements, different members or characters there are, where `any_place` has asked for that."""
        return self.place.c.value


def any_place(
    source: FromClause, body: ColumnElement[str], path: Path, holds: Callable[[Node], ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Return the condition that it holds for one of the places to which a path leads in the body, a column there."""
    packed = literal(json.dumps([packed_step(step) for step in path.steps]), String())
    look = func.moonpalace_lengths if path.measured else func.moonpalace_places
    found = func.json_each(look(cast(body, LargeBinary), packed))
    columns = (column("value", Text), column("type", Text))
    places = found.table_valued(*columns, name="place", joins_implicitly=True)
    query = select(literal(1)).select_from(source.join(places, true())).where(holds(SqliteNode(places)))
    return exists(query.correlate_except(source, places))


def packed_step(step: Step) -> str | int | None:
    """Return a step as `places` takes it."""
    return step.name if isinstance(step, Member) else step.index if isinstance(step, Element) else None

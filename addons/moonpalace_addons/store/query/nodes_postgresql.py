"""Places in JSON documents on PostgreSQL, as values of type json; jsonb would lose the original notation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    JSON,
    ColumnElement,
    Integer,
    Numeric,
    Text,
    and_,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    literal_column,
    select,
)

from moonpalace_addons.store.query.tree import AnyElement, Element, Member, Step
from moonpalace_addons.store.query.values import Expression, bound

TEXTS = ("string", "array", "object")
MAX_NUMBER_LENGTH = 400
EMPTY_PATH: ColumnElement[str] = literal_column("'{}'::text[]")
WHITESPACE = r'("(?:[^"\\]|\\.)*")|\s+'


@dataclass(frozen=True, slots=True)
class PostgresqlNode:
    """A place in a document; `level` is the number of arrays around it."""

    value: Expression
    level: int = 0

    @property
    def kind(self) -> ColumnElement[str]:
        """The type of the value, as PostgreSQL names it."""
        return func.json_typeof(self.value, type_=Text())

    @property
    def scalar(self) -> ColumnElement[str]:
        """The value as text."""
        return self.value.op("#>>", return_type=Text())(EMPTY_PATH)

    @property
    def exists(self) -> ColumnElement[bool]:
        """The condition that there is a value other than null."""
        return self.kind != "null"

    @property
    def is_text(self) -> ColumnElement[bool]:
        """The condition that the value is a string, an array or an object."""
        return self.kind.in_(TEXTS)

    @property
    def is_number(self) -> ColumnElement[bool]:
        """The condition that the value is a number."""
        return self.kind == "number"

    def is_truth(self, truth: bool) -> ColumnElement[bool]:
        """Return the condition that the value is this boolean."""
        return and_(self.kind == "boolean", self.scalar == ("true" if truth else "false"))

    @property
    def text(self) -> ColumnElement[str]:
        """The text; for arrays and objects their JSON without insignificant whitespace."""
        compact = func.regexp_replace(cast(self.value, Text), WHITESPACE, r"\1", "g", type_=Text())
        return case((self.kind == "string", self.scalar), else_=compact)

    @property
    def number(self) -> Expression:
        """The number; NULL if it is out of range, since casting it would raise an error."""
        exponent = self.scalar.op("~", is_comparison=True)(literal("[eE][-+]?[0-9]{4}", Text()))
        in_range = and_(self.kind == "number", func.length(self.scalar) <= MAX_NUMBER_LENGTH, ~exponent)
        return case((in_range, cast(self.scalar, Numeric)))

    @property
    def length(self) -> ColumnElement[int]:
        """The number of elements, distinct members or characters."""
        names = func.json_object_keys(case((self.kind == "object", self.value)))
        members = names.table_valued("name", name=f"member_{self.level}").render_derived()
        count = (
            select(func.count(members.c.name.distinct()))
            .select_from(members)
            .correlate_except(members)
            .scalar_subquery()
        )
        return case(
            (self.kind == "array", func.json_array_length(case((self.kind == "array", self.value)))),
            (self.kind == "string", func.length(self.scalar)),
            (self.kind == "object", count),
        )

    def reachable(self, step: Step) -> bool:
        """Return whether the operator `->` takes this step."""
        return not isinstance(step, AnyElement)

    def step(self, step: Step) -> PostgresqlNode:
        """Return the place one step further."""
        key: Expression = literal(step.index if isinstance(step, Element) else 0, Integer())
        if isinstance(step, Member):
            key = bound(step.name)
        return PostgresqlNode(self.value.op("->", return_type=JSON())(key), self.level)

    def branch(self, step: Step, holds: Callable[[PostgresqlNode], ColumnElement[bool]]) -> ColumnElement[bool]:
        """Return the condition that `holds` is true for some element of the array."""
        elements = func.json_array_elements(case((self.kind == "array", self.value)))
        parts = elements.table_valued(column("value", JSON), name=f"part_{self.level}", joins_implicitly=True)
        parts = parts.render_derived()
        condition = holds(PostgresqlNode(parts.c.value, self.level + 1))
        return exists(select(literal(1)).select_from(parts).where(condition).correlate_except(parts))

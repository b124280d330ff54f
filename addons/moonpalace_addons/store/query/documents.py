"""Compile comparisons of paths into JSON bodies.

A value is a boolean, a number or text; arrays and objects count as text: their JSON without whitespace. Values of
different kinds are unequal and not ordered. A body that is not JSON has no values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Boolean, ColumnElement, Subquery, case, false, func, select, true, type_coerce

from moonpalace_addons.store.query.nodes import Node
from moonpalace_addons.store.query.nodes_postgresql import PostgresqlNode
from moonpalace_addons.store.query.nodes_sqlite import any_place
from moonpalace_addons.store.query.tree import AnyElement, Comparator, Number, Path, Span, Step, Text, Truth, Value
from moonpalace_addons.store.query.values import (
    ORDERS,
    Condition,
    NumberOperand,
    Operand,
    ValueMistakeError,
    binary,
    bound,
    number,
)
from moonpalace_addons.store.records.body_scan import scanned
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.schema import EXCHANGES


@dataclass(frozen=True, slots=True)
class JsonOperand:
    """The value at a place in a JSON document."""

    node: Node
    name: str
    dialect: str

    @property
    def exists(self) -> Condition:
        """Return the condition that there is a value other than null."""
        return self.node.exists

    def equals(self, value: Value) -> Condition:
        """Return the condition that it equals this value and has the same kind."""
        match value:
            case Text(text):
                return self._guarded(self.node.is_text, self.node.text == bound(text))
            case Number(amount):
                return self._guarded(self.node.is_number, self.node.number == number(amount, self.dialect))
            case Truth(truth):
                return self.node.is_truth(truth)
        raise self._mistake(value)

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Return the condition that it is greater or less and has the same kind."""
        compared = ORDERS[comparator]
        match value:
            case Text(text):
                ordered = compared(binary(self.node.text, self.dialect), bound(text))
                return self._guarded(self.node.is_text, ordered)
            case Number(amount):
                return self._guarded(self.node.is_number, compared(self.node.number, number(amount, self.dialect)))
        raise self._mistake(value)

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: Text) -> Condition:
        """Return the condition that it is text and passes the test."""
        return self._guarded(self.node.is_text, test(self.node.text))

    def _guarded(self, is_right: Condition, condition: Condition) -> Condition:
        # CASE because a database may evaluate AND in any order. SQLite can compare values of different kinds, so it
        # checks the kind only if the comparison holds.
        first, second = (condition, is_right) if self.dialect == "sqlite" else (is_right, condition)
        return case((first, second), else_=false())

    def _mistake(self, value: Value) -> ValueMistakeError:
        problem = "has no lengths of time" if isinstance(value, Span) else "cannot be compared so"
        return ValueMistakeError(f"JSON {problem}: compare {self.name} with a string or a number", value.position)


def within(
    side: Side,
    path: Path,
    dialect: str,
    test: Callable[[Operand], Condition],
    *,
    if_absent: bool,
    required: Sequence[str] = (),
) -> Condition:
    """Return the condition that `test` holds for the value at a path; with several places, for at least one.

    `if_absent` is the result if the path leads nowhere. If it is false, `required` may name substrings, at least one of
    which every matching body contains.
    """

    def condition(node: Node) -> Condition:
        if path.measured:
            return test(NumberOperand(node.length, f"len({path.field}…)", dialect))
        return test(JsonOperand(node, path.field, dialect))

    substrings = () if if_absent else required
    if dialect == "sqlite":
        body = scanned(side, dialect, substrings)
        return any_place(body, body.c.body, path, condition)
    source = document(side, substrings)
    value = follow(PostgresqlNode(source.c.document), path.steps, condition, if_absent=if_absent)
    missing = if_absent and not any(isinstance(step, AnyElement) for step in path.steps)
    result = case((source.c.document.is_not(None), value), else_=true() if missing else false())
    return type_coerce(select(result).select_from(source).correlate(EXCHANGES).scalar_subquery(), Boolean())


def document(side: Side, required: Sequence[str]) -> Subquery:
    """Return a body as a subquery of one row with the JSON column `document`, on PostgreSQL."""
    body = scanned(side, "postgresql", required)
    return select(func.moonpalace_json(body.c.body).label("document")).offset(0).subquery()


def follow(
    node: PostgresqlNode, steps: Sequence[Step], condition: Callable[[Node], Condition], *, if_absent: bool
) -> Condition:
    """Return `condition` applied to the place that the steps lead to, on PostgreSQL."""
    for number_of_steps, step in enumerate(steps, 1):
        if not isinstance(step, AnyElement):
            node = node.step(step)
            continue
        further = partial(follow, steps=steps[number_of_steps:], condition=condition, if_absent=if_absent)
        return node.branch(step, further)
    return condition(node)

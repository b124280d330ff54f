"""Compile comparisons of paths into JSON bodies.

A value there is true or false, a number, or text; arrays and objects count as text, their JSON without white space.
Values of different kinds are different, and none is greater. A body that is not JSON has no values.
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
    """The value at a place."""

    node: Node
    name: str
    dialect: str

    @property
    def exists(self) -> Condition:
        """Tell that there is a value other than null."""
        return self.node.exists

    def equals(self, value: Value) -> Condition:
        """Tell that it is this value, and of the same kind."""
        match value:
            case Text(text):
                return self._guarded(self.node.is_text, self.node.text == bound(text))
            case Number(amount):
                return self._guarded(self.node.is_number, self.node.number == number(amount, self.dialect))
            case Truth(truth):
                return self.node.is_truth(truth)
        raise self._mistake(value)

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Tell that it is greater or less, and of the same kind."""
        compared = ORDERS[comparator]
        match value:
            case Text(text):
                ordered = compared(binary(self.node.text, self.dialect), bound(text))
                return self._guarded(self.node.is_text, ordered)
            case Number(amount):
                return self._guarded(self.node.is_number, compared(self.node.number, number(amount, self.dialect)))
        raise self._mistake(value)

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: Text) -> Condition:
        """Tell that it is text that matches."""
        return self._guarded(self.node.is_text, test(self.node.text))

    def _guarded(self, is_right: Condition, condition: Condition) -> Condition:
        # CASE and not AND, which a database may evaluate in any order. SQLite can compare what is of another kind, and
        # does not ask for the kind where that fails already.
        first, second = (condition, is_right) if self.dialect == "sqlite" else (is_right, condition)
        return case((first, second), else_=false())

    def _mistake(self, value: Value) -> ValueMistakeError:
        what = "has no lengths of time" if isinstance(value, Span) else "cannot be compared so"
        return ValueMistakeError(f"JSON {what}: compare {self.name} with a string or a number", value.position)


def within(
    side: Side,
    path: Path,
    dialect: str,
    test: Callable[[Operand], Condition],
    *,
    if_absent: bool,
    seen: Sequence[str] = (),
) -> Condition:
    """Return the condition that `test` holds for what a path leads to in a body; for several places, for one of them.

    `if_absent` says whether it holds where the path leads to nothing; if not, `seen` are texts one of which a body has
    where it holds.
    """

    def condition(node: Node) -> Condition:
        if path.measured:
            return test(NumberOperand(node.length, f"len({path.field}…)", dialect))
        return test(JsonOperand(node, path.field, dialect))

    marks = () if if_absent else seen
    if dialect == "sqlite":
        body = scanned(side, dialect, marks)
        return any_place(body, body.c.body, path, condition)
    source = document(side, marks)
    found = follow(PostgresqlNode(source.c.document), path.steps, condition, if_absent=if_absent)
    missing = if_absent and not any(isinstance(step, AnyElement) for step in path.steps)
    whole = case((source.c.document.is_not(None), found), else_=true() if missing else false())
    return type_coerce(select(whole).select_from(source).correlate(EXCHANGES).scalar_subquery(), Boolean())


def document(side: Side, seen: Sequence[str]) -> Subquery:
    """Return a body as a table of one row with JSON, on PostgreSQL."""
    body = scanned(side, "postgresql", seen)
    return select(func.moonpalace_json(body.c.body).label("document")).offset(0).subquery()


def follow(
    node: PostgresqlNode, steps: Sequence[Step], condition: Callable[[Node], Condition], *, if_absent: bool
) -> Condition:
    """Return the condition that it holds for what the steps lead to, on PostgreSQL."""
    for number_of_steps, step in enumerate(steps, 1):
        if not isinstance(step, AnyElement):
            node = node.step(step)
            continue
        further = partial(follow, steps=steps[number_of_steps:], condition=condition, if_absent=if_absent)
        return node.branch(step, further)
    return condition(node)

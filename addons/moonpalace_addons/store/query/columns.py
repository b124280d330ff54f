"""Compile comparisons of fields that are columns or expressions of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Text, and_, func, or_

from moonpalace_addons.store.field import Field
from moonpalace_addons.store.query import times
from moonpalace_addons.store.query.tree import Comparator, Day, Span, Value
from moonpalace_addons.store.query.tree import Text as TextValue
from moonpalace_addons.store.query.values import (
    Condition,
    NumberOperand,
    Operand,
    TextOperand,
    TruthOperand,
    ValueMistakeError,
)
from moonpalace_addons.store.records.expressions import expression
from moonpalace_addons.store.records.values import microseconds
from moonpalace_addons.store.schema import EXCHANGES

SECOND_IN_MICROSECONDS = 1_000_000

type Length = ColumnElement[int]


def operand(field: Field, name: str, dialect: str, now: datetime) -> Operand:
    """Return the operand for a field that is neither a set nor JSON."""
    column = expression(field)
    if field.kind == "moment":
        return MomentOperand(column, name, dialect, now)
    if field.kind == "truth":
        return TruthOperand(column, name)
    if field.kind in ("whole", "decimal"):
        # truncated to whole milliseconds, as the view shows it
        in_unit = column // field.unit if field.unit and field.unit > 1 else column
        return NumberOperand(in_unit, name, dialect, field.unit, column)
    return (ModelOperand if field.name == "model" else TextOperand)(column, name, dialect)


@dataclass(frozen=True, slots=True)
class ModelOperand(TextOperand):
    """The model; equality compares both columns, because each has an index."""

    def equals(self, value: Value) -> Condition:
        """Return the condition that the model is this text."""
        answered, requested = EXCHANGES.c.model_answered, EXCHANGES.c.model_requested
        other = self._other(value)
        return or_(answered == other, and_(requested == other, answered.is_(None)))


@dataclass(frozen=True, slots=True)
class MomentOperand:
    """The time of the request.

    It is displayed in local time with seconds, so it is ordered by the second; a date alone stands for its first.
    """

    column: ColumnElement[int]
    name: str
    dialect: str
    now: datetime

    @property
    def exists(self) -> Condition:
        """Return a condition that always holds: every call has a time."""
        return self.column.is_not(None)

    def equals(self, value: Value) -> Condition:
        """Return the condition that the time lies in the given second, minute or day."""
        period = self._period(value)
        return and_(self.column >= period.start, self.column < period.end)

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Return the condition that the time is earlier or later."""
        period = self._period(value)
        after = period.start if period.coarse else period.end
        conditions: dict[str, Condition] = {
            ">": self.column >= after,
            ">=": self.column >= period.start,
            "<": self.column < period.start,
            "<=": self.column < after,
        }
        return conditions[comparator]

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: TextValue) -> Condition:
        """Return the condition that the displayed time passes the test."""
        seconds = self.column // SECOND_IN_MICROSECONDS
        if self.dialect == "sqlite":
            return test(func.datetime(seconds, "unixepoch", "localtime", type_=Text()))
        return test(func.to_char(func.to_timestamp(seconds), "YYYY-MM-DD HH24:MI:SS", type_=Text()))

    def _period(self, value: Value) -> times.Period:
        period = None
        if isinstance(value, Span) and value.nanoseconds <= 0:
            period = times.moment(microseconds(self.now) + value.nanoseconds // 1_000)
        elif isinstance(value, TextValue | Day):
            period = times.read_time(value.name if isinstance(value, Day) else value.value, self.now)
        if period is None or max(abs(period.start), abs(period.end)) >= 2**63:
            raise ValueMistakeError(f"{self.name} is a time: compare it with {times.EXAMPLES}", value.position)
        return period

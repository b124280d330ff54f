"""Compile comparisons of columns and parts of bodies with the values of a predicate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    LargeBinary,
    Numeric,
    String,
    and_,
    cast,
    collate,
    false,
    func,
    literal,
    not_,
    or_,
)
from sqlalchemy import Text as TextType

from moonpalace_addons.store.query.patterns import ESCAPE, PatternError, check_regex, like, postgresql_regex
from moonpalace_addons.store.query.tree import Comparator, Null, Number, Span, Text, Truth, Value
from moonpalace_addons.store.records.values import MAX_INT64

type Condition = ColumnElement[bool]
type Expression = ColumnElement[Any]
"""An SQL expression of any type; SQLAlchemy's types do not allow passing one of a known type otherwise."""

ORDERS: dict[Comparator, Callable[[Expression, object], Condition]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
OPPOSITES: dict[Comparator, Comparator] = {"!=": "==", "!~": "~", "!%": "%", "!@": "@"}


class ValueMistakeError(Exception):
    """An impossible comparison; `position` is the offset of the value."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Operand(Protocol):
    """The left side of a comparison: which values it accepts, and how they compare in SQL."""

    @property
    def exists(self) -> Condition:
        """The condition that the operand exists and is not null."""

    def equals(self, value: Value) -> Condition:
        """Return the condition that the operand equals a value other than NULL."""

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Return the condition that the operand is greater or less than the value."""

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: Text) -> Condition:
        """Return the condition that the operand is text that passes the test."""


def compare(operand: Operand, comparator: Comparator, values: Sequence[Value], dialect: str) -> Condition:
    """Return the condition for a comparison: false or NULL if the operand does not exist, except for `== NULL`."""
    if comparator in OPPOSITES:
        return differ(operand, OPPOSITES[comparator], values, dialect)
    if comparator in ("==", "@"):
        return or_(false(), *(equal(operand, value) for value in values))
    (value,) = values
    if comparator in ORDERS:
        if isinstance(value, Null | Truth):
            raise ValueMistakeError("only == and != compare with true, false and NULL", value.position)
        return operand.ordered(comparator, value)
    if not isinstance(value, Text):
        raise ValueMistakeError(f"{comparator} takes a string", value.position)
    return operand.matches(matcher(comparator, value, dialect), value)


def differ(operand: Operand, comparator: Comparator, values: Sequence[Value], dialect: str) -> Condition:
    """Return the condition for `!=`, `!~`, `!%` and `!@`: the operand exists and does not compare as given."""
    non_null = [value for value in values if not isinstance(value, Null)]
    if not non_null:
        return operand.exists
    return and_(operand.exists, not_(func.coalesce(compare(operand, comparator, non_null, dialect), false())))


def equal(operand: Operand, value: Value) -> Condition:
    """Return the condition for equality with a value or NULL."""
    return absent(operand) if isinstance(value, Null) else operand.equals(value)


def absent(operand: Operand) -> Condition:
    """Return the condition that the operand does not exist or is null."""
    return not_(func.coalesce(operand.exists, false()))


def matcher(comparator: Comparator, value: Text, dialect: str) -> Callable[[ColumnElement[str]], Condition]:
    """Return the test of `~` or `%` for an SQL text."""
    try:
        if comparator == "~":
            pattern = bound(like(value.value))
            if dialect == "sqlite":
                return lambda text: text.like(pattern, escape=ESCAPE)
            # With the collation "C" only ASCII letters match case-insensitively, as on SQLite.
            return lambda text: collate(text, "C").ilike(pattern, escape=ESCAPE)
        check_regex(value.value)
        if dialect == "sqlite":
            return lambda text: func.moonpalace_regex(bound(value.value), cast(text, LargeBinary)) == 1
        translated = bound(postgresql_regex(value.value))
        return lambda text: text.op("~", is_comparison=True)(translated)
    except PatternError as error:
        raise ValueMistakeError(str(error), value.position) from None


def bound(text: str) -> ColumnElement[str]:
    """Return a text as a bound parameter."""
    return literal(text, TextType())


def number(value: int | Decimal, dialect: str) -> Expression:
    """Return a number as a bound parameter of a type that the database can hold."""
    if isinstance(value, int) and abs(value) <= MAX_INT64:
        return literal(value, BigInteger())
    if dialect == "sqlite":
        return literal(float(value), Double())
    return cast(literal(str(value), String()), Numeric())


def binary(text: ColumnElement[str], dialect: str) -> ColumnElement[str]:
    """Return the text with an ordering by code point, which is the same on both databases."""
    return text if dialect == "sqlite" else collate(text, "C")


@dataclass(frozen=True, slots=True)
class NumberOperand:
    """A numeric column; for a duration, `unit` is its unit in nanoseconds and `exact` the value in nanoseconds."""

    column: Expression
    name: str
    dialect: str
    unit: int | None = None
    exact: Expression | None = None

    @property
    def exists(self) -> Condition:
        """The condition that the column is not NULL."""
        return self.column.is_not(None)

    def equals(self, value: Value) -> Condition:
        """Return the condition that the column equals the number."""
        column, other = self._other(value)
        return column == other

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Return the condition that the column is greater or less."""
        return ORDERS[comparator](*self._other(value))

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: Text) -> Condition:
        """Return the condition that the digits pass the test."""
        return test(cast(self.column, TextType()))

    def _other(self, value: Value) -> tuple[Expression, Expression]:
        match value:
            case Number(amount):
                return self.column, number(amount, self.dialect)
            case Text(digits) if digits.strip().lstrip("+-").isdigit() and digits.isascii() and len(digits) < 20:
                return self.column, number(int(digits), self.dialect)
            case Span(nanoseconds) if self.unit is not None:
                exact = self.column if self.exact is None else self.exact
                return exact, number(nanoseconds, self.dialect)
        raise ValueMistakeError(f"{self.name} is a number: compare it with one", value.position)


@dataclass(frozen=True, slots=True)
class TextOperand:
    """A text column."""

    column: ColumnElement[str]
    name: str
    dialect: str

    @property
    def exists(self) -> Condition:
        """The condition that the column is not NULL."""
        return self.column.is_not(None)

    def equals(self, value: Value) -> Condition:
        """Return the condition that the column equals the text."""
        return self.column == self._other(value)

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Return the condition that the column sorts before or after."""
        return ORDERS[comparator](binary(self.column, self.dialect), self._other(value))

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: Text) -> Condition:
        """Return the condition that the column passes the test."""
        return test(self.column)

    def _other(self, value: Value) -> ColumnElement[str]:
        if isinstance(value, Text):
            return bound(value.value)
        if isinstance(value, Number):
            return bound(str(value.value))
        raise ValueMistakeError(f"{self.name} is text: compare it with a string", value.position)


@dataclass(frozen=True, slots=True)
class TruthOperand:
    """A boolean column, never NULL."""

    column: ColumnElement[bool]
    name: str

    @property
    def exists(self) -> Condition:
        """The condition that the column is not NULL."""
        return self.column.is_not(None)

    def equals(self, value: Value) -> Condition:
        """Return the condition that the column has this value."""
        if isinstance(value, Truth):
            return self.column.is_(value.value)
        raise self._mistake(value)

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Raise ValueMistakeError: booleans have no order."""
        raise self._mistake(value)

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: Text) -> Condition:
        """Raise ValueMistakeError: booleans are not text."""
        raise self._mistake(value)

    def _mistake(self, value: Value) -> ValueMistakeError:
        return ValueMistakeError(
            f"{self.name} is true or false: compare it with one of them by == or !=", value.position
        )

"""Compile comparisons of fields that are sets of texts: tags, and columns with a JSON array of sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Text,
    case,
    column,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy import exists as sql_exists

from moonpalace_addons.store.query.tree import Comparator, Null, Value
from moonpalace_addons.store.query.tree import Text as TextValue
from moonpalace_addons.store.query.values import OPPOSITES, Condition, TextOperand, ValueMistakeError, compare
from moonpalace_addons.store.schema import EXCHANGES, TAGS


@dataclass(frozen=True, slots=True)
class Element:
    """One text of a set, inside a subquery over the set."""

    text: ColumnElement[str]
    name: str
    dialect: str

    @property
    def exists(self) -> Condition:
        """Return the condition that the element exists."""
        return self.text.is_not(None)

    def equals(self, value: Value) -> Condition:
        """Return the condition that the element equals this value."""
        return TextOperand(self.text, self.name, self.dialect).equals(value)

    def ordered(self, comparator: Comparator, value: Value) -> Condition:
        """Raise ValueMistakeError: sets have no order."""
        raise ValueMistakeError(f"{self.name} is a set: it supports == != ~ !~ % !% @ !@", value.position)

    def matches(self, test: Callable[[ColumnElement[str]], Condition], value: TextValue) -> Condition:
        """Return the condition that the element passes the test."""
        return test(self.text)


@dataclass(frozen=True, slots=True)
class TextSet:
    """A set of texts of each call: `tags`, or a column with a JSON array of sentences."""

    name: str
    dialect: str

    def compare(self, comparator: Comparator, values: tuple[Value, ...]) -> Condition:
        """Return the condition that some element compares as given; for `!=`, `!~`, `!%` and `!@`, that none does."""
        opposite = OPPOSITES.get(comparator)
        if opposite is not None:
            return not_(func.coalesce(self.compare(opposite, values), false()))
        texts = [value for value in values if not isinstance(value, Null)]
        condition = or_(false(), self.holds(lambda element: compare(element, comparator, texts, self.dialect)))
        condition = condition if texts else or_(false())
        return or_(condition, not_(self.holds())) if len(texts) < len(values) else condition

    def holds(self, test: Callable[[Element], Condition] | None = None) -> Condition:
        """Return the condition that the set has an element, or one that passes the test."""
        if self.name == "tags":
            query = select(TAGS.c.exchange_id)
            return EXCHANGES.c.id.in_(query if test is None else query.where(test(self._element(TAGS.c.tag))))
        source = self._sentences()
        query = select(literal(1)).select_from(source)
        if test is not None:
            query = query.where(test(self._element(source.c.value)))
        return sql_exists(query.correlate_except(source))

    @property
    def size(self) -> ColumnElement[int]:
        """The number of elements."""
        query = select(func.count())
        if self.name == "tags":
            query = query.select_from(TAGS).where(TAGS.c.exchange_id == EXCHANGES.c.id).correlate(EXCHANGES)
        else:
            source = self._sentences()
            query = query.select_from(source).correlate_except(source)
        return sql_cast(query.scalar_subquery(), BigInteger())

    def _element(self, text: ColumnElement[str]) -> Element:
        return Element(text, self.name, self.dialect)

    def _sentences(self) -> FromClause:
        """Return the sentences as a table with the column `value`; empty if the column is not JSON."""
        stored = EXCHANGES.c[self.name]
        if self.dialect == "sqlite":
            listed = func.json_each(case((func.json_valid(stored) == 1, stored)))
            return listed.table_valued(column("value", Text), name=self.name, joins_implicitly=True)
        read = func.moonpalace_json(stored)
        elements = func.json_array_elements_text(case((func.json_typeof(read) == "array", read)))
        return elements.table_valued(column("value", Text), name=self.name, joins_implicitly=True).render_derived()

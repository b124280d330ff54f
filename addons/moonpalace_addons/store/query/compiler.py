"""Compile the tree of a predicate to an SQL condition with bound parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import ColumnElement, and_, false, func, not_, or_

from moonpalace_addons.store.field import Field, Kind
from moonpalace_addons.store.fields import FIELDS, find
from moonpalace_addons.store.query import columns, documents, extracts
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.query.marks import marks
from moonpalace_addons.store.query.sets import TextSet
from moonpalace_addons.store.query.tree import (
    And,
    AnyElement,
    Comparison,
    Node,
    Not,
    Null,
    Or,
    Path,
    Presence,
    Text,
    Truth,
    children,
)
from moonpalace_addons.store.query.values import (
    Condition,
    NumberOperand,
    Operand,
    TextOperand,
    ValueMistakeError,
    compare,
)
from moonpalace_addons.store.records.body_scan import quick_text
from moonpalace_addons.store.records.body_text import Side, body_text
from moonpalace_addons.wire.suggestions import did_you_mean

BODY_MEMBERS = dict.fromkeys(("messages", "tools", "temperature", "max_tokens"), "request")
BODY_MEMBERS |= dict.fromkeys(("choices", "usage"), "response")
"""Names often mistaken for fields, with the body they are a member of."""

KIND_NAMES: dict[Kind, str] = {
    "whole": "a number",
    "decimal": "a number",
    "text": "text",
    "headers": "text",
    "truth": "true or false",
    "moment": "a time",
    "set": "a set of texts",
    "json": "JSON",
    "words": "searched for words",
}
"""How error messages name each kind of field."""

type TextSearch = Callable[[str], Condition]


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compile trees for one SQL dialect; `search` returns the condition for a word search."""

    dialect: str
    now: datetime
    search: TextSearch

    def condition(self, tree: Node, text: str) -> Condition:
        """Return the condition for `tree`, parsed from `text`; raises PredicateError if it cannot be compiled."""
        try:
            return self._node(tree)
        except ValueMistakeError as error:
            raise PredicateError(str(error), text, error.position) from None

    def _node(self, node: Node) -> Condition:
        match node:
            case And(operands):
                return and_(*(self._node(operand) for operand in sorted(operands, key=cost)))
            case Or(operands):
                return or_(*(self._node(operand) for operand in sorted(operands, key=cost)))
            case Not(operand):
                condition = self._node(operand)
                if is_search(operand):
                    return not_(condition)
                # A comparison with NULL is NULL, and so is its negation; here NULL counts as false.
                return not_(func.coalesce(condition, false()))
            case Presence():
                return self._presence(node)
            case Comparison():
                return self._comparison(node)

    def _presence(self, node: Presence) -> Condition:
        path = node.path
        field = field_of(path)
        if field.kind == "set" and not path.measured:
            return TextSet(field.source, self.dialect).holds()
        if field.kind == "truth":
            return self._operand(field, path).equals(Truth(value=True, position=path.position))
        if field.kind == "json" and path.steps:
            return self._within(field, node, lambda operand: operand.exists, if_absent=False)
        return self._operand(field, path).exists

    def _comparison(self, node: Comparison) -> Condition:
        path, comparator, values = node.path, node.comparator, node.values
        field = field_of(path)
        if field.kind == "words":
            return self._words(node)
        if field.kind == "set" and not path.measured:
            return TextSet(field.source, self.dialect).compare(comparator, values)

        def test(operand: Operand) -> Condition:
            return compare(operand, comparator, values, self.dialect)

        if field.kind == "json" and path.steps:
            if_absent = comparator in ("==", "@") and any(isinstance(value, Null) for value in values)
            looked_up = self._within(field, node, test, if_absent=if_absent)
            return extracts.prefiltered(field, node, looked_up, test, self.dialect)
        return test(self._operand(field, path))

    def _words(self, node: Comparison) -> Condition:
        value = node.values[0] if node.values else None
        if node.comparator not in ("~", "!~") or not isinstance(value, Text):
            position = node.path.position if value is None else value.position
            raise ValueMistakeError("text is searched for words: text ~ 'words'", position)
        try:
            condition = self.search(value.value)
        except ValueError as error:
            raise ValueMistakeError(str(error), value.position) from None
        return condition if node.comparator == "~" else not_(condition)

    def _within(
        self, field: Field, node: Comparison | Presence, test: Callable[[Operand], Condition], *, if_absent: bool
    ) -> Condition:
        side = side_of(field)
        substrings = marks(node) if has_wildcard(node.path) or self.dialect != "sqlite" else ()
        return documents.within(side, node.path, self.dialect, test, if_absent=if_absent, required=substrings)

    def _operand(self, field: Field, path: Path) -> Operand:
        if field.kind == "words":
            raise ValueMistakeError("text is searched for words: text ~ 'words'", path.position)
        if path.measured:
            return NumberOperand(self._length(field, path), f"len({path.field})", self.dialect)
        if field.kind == "json":
            return TextOperand(body(field, self.dialect), path.field, self.dialect)
        return columns.operand(field, path.field, self.dialect, self.now)

    def _length(self, field: Field, path: Path) -> columns.Length:
        if field.kind == "set":
            return TextSet(field.source, self.dialect).size
        if field.kind == "json":
            return func.length(body(field, self.dialect))
        if field.kind in ("text", "headers"):
            operand = columns.operand(field, path.field, self.dialect, self.now)
            return func.length(cast(TextOperand, operand).column)
        raise ValueMistakeError(f"{path.field} is {KIND_NAMES[field.kind]} and has no length", path.position)


def body(field: Field, dialect: str) -> ColumnElement[str]:
    """Return the expression for a body as text."""
    side = side_of(field)
    return cast(ColumnElement[str], quick_text(side) if dialect == "sqlite" else body_text(side, dialect))


def side_of(field: Field) -> Side:
    """Return the side whose body this field is."""
    return "request" if field.name == "request_body" else "response"


def field_of(path: Path) -> Field:
    """Return the field that a path begins with; raises ValueMistakeError with suggestions if there is none."""
    field = find(path.field)
    if field is None:
        raise ValueMistakeError(f"there is no field {path.field[:50]}{suggestion(path)}", path.position)
    if path.steps and field.kind != "json":
        message = f"{path.field} is {KIND_NAMES[field.kind]} and has no parts; request_body and response_body have"
        raise ValueMistakeError(message, path.position)
    return field


def is_search(node: Node) -> bool:
    """Return whether a node is a word search, which is never NULL and lets SQLite read fewer bodies if not wrapped."""
    return isinstance(node, Comparison) and field_of(node.path).kind == "words"


def has_wildcard(path: Path) -> bool:
    """Return whether a substring prefilter pays off on SQLite: only for paths with `*`, as others are cheap."""
    return any(isinstance(step, AnyElement) for step in path.steps)


def suggestion(path: Path) -> str:
    """Return a hint with the fields that the user may have meant."""
    name = path.field.lower()
    if name in BODY_MEMBERS:
        return f"; did you mean {BODY_MEMBERS[name]}_body.{name}?"
    others = "fields are status, state, model, request_body.…, response_body.…, tags, text, latency and others"
    return f"; {did_you_mean(name, FIELDS) or others}"


def cost(node: Node) -> int:
    """Return the relative cost of a node: 0 for columns, 1 for a path into a body, 2 for searching a whole body."""
    below = children(node)
    if below:
        return max(map(cost, below))
    if not isinstance(node, Comparison | Presence):
        return 0
    field = find(node.path.field)
    if field is None or field.kind not in ("json", "words"):
        return 0
    return 1 if node.path.steps else 2

"""Answer comparisons of common body paths from indexed columns, with the same result as from the body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import and_, case, or_

from moonpalace_addons.store.field import Field
from moonpalace_addons.store.query.tree import Comparison, Element, Member, Null, Number, Step, Text, Truth
from moonpalace_addons.store.query.values import Condition, Expression, NumberOperand, Operand, TextOperand
from moonpalace_addons.store.schema import EXCHANGES


@dataclass(frozen=True, slots=True)
class Extract:
    """A column that was extracted from a path of a body when the call was stored.

    With `exact`, a column that is not NULL has the same value as the path. Without it the column has the path's value
    whenever that has the column's type, but may also have taken the value from elsewhere.
    """

    column: str
    exact: bool = False
    ambiguous: frozenset[str] = frozenset()
    """Values that the column can have although the path has another."""


type Place = tuple[str, tuple[Step, ...]]


def place(path: str) -> Place:
    """Parse a path written with dots."""
    root, *steps = path.split(".")
    return root, tuple(Element(int(step)) if step.isdigit() else Member(step) for step in steps)


EXTRACTS: dict[Place, Extract] = {
    place("request_body.model"): Extract("model_requested", exact=True),
    place("request_body.stream"): Extract("stream_requested"),
    place("response_body.model"): Extract("model_answered", exact=True),
    place("response_body.id"): Extract("chatcmpl_id", exact=True),
    # of several choices, the column has the first reason that is not "stop"
    place("response_body.choices.0.finish_reason"): Extract("finish_reason", ambiguous=frozenset({"stop"})),
    place("response_body.usage.prompt_tokens"): Extract("prompt_tokens"),
    place("response_body.usage.completion_tokens"): Extract("completion_tokens"),
    place("response_body.usage.total_tokens"): Extract("total_tokens"),
    place("response_body.usage.cached_tokens"): Extract("cached_tokens"),
    place("response_body.usage.completion_tokens_details.reasoning_tokens"): Extract("reasoning_tokens"),
}
"""The paths that are answered without reading bodies, or by reading few of them."""


def prefiltered(
    field: Field, node: Comparison, looked_up: Condition, test: Callable[[Operand], Condition], dialect: str
) -> Condition:
    """Return `looked_up`, the condition on the body, preceded by one on an extracted column if there is one.

    A column is NULL if its value could not be read when the call was stored; then the body decides.
    """
    extract = EXTRACTS.get((field.name, node.path.steps))
    if extract is None or node.path.measured:
        return looked_up
    column: Expression = EXCHANGES.c[extract.column]
    if extract.column == "stream_requested":
        return streamed(node, column, looked_up)
    if not is_decisive(extract, node):
        return looked_up
    operand: Operand = (
        TextOperand(column, node.path.field, dialect)
        if extract.exact or extract.ambiguous
        else NumberOperand(column, node.path.field, dialect)
    )
    condition = test(operand) if extract.exact else and_(test(operand), looked_up)
    if extract.exact and node.comparator not in ("==", "@"):
        return case((column.is_not(None), condition), else_=looked_up)
    return or_(condition, and_(column.is_(None), looked_up))


def is_decisive(extract: Extract, node: Comparison) -> bool:
    """Return whether the column alone finds every call for which the comparison can hold."""
    if extract.exact:
        return all(isinstance(value, Text) for value in node.values)
    if extract.ambiguous:
        texts = {value.value for value in node.values if isinstance(value, Text)}
        every_text = len(node.values) == sum(isinstance(value, Text) for value in node.values)
        if node.comparator in ("==", "@"):
            return every_text and not texts & extract.ambiguous
        return node.comparator in ("!=", "!@") and every_text and extract.ambiguous <= texts
    are_ints = all(isinstance(value, Number) and isinstance(value.value, int) for value in node.values)
    return are_ints and node.comparator in ("==", "@", ">", ">=", "<", "<=")


def streamed(node: Comparison, column: Expression, looked_up: Condition) -> Condition:
    """Return the condition for `stream`, whose column is true if the request has `"stream": true`."""
    values = node.values
    if node.comparator != "==" or any(isinstance(value, Null) or not isinstance(value, Truth) for value in values):
        return looked_up
    if values == (Truth(value=True, position=values[0].position),):
        return or_(column.is_(True), and_(column.is_(None), looked_up))
    return and_(or_(column.is_(False), column.is_(None)), looked_up)

"""Answer comparisons of the paths that matter from columns with an index, with the answer that the body would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import and_, case, or_

from moonpalace_addons.store.fields import Field
from moonpalace_addons.store.query.tree import Comparison, Element, Member, Null, Number, Step, Text, Truth
from moonpalace_addons.store.query.values import Condition, Expression, NumberOperand, Operand, TextOperand
from moonpalace_addons.store.schema import EXCHANGES


@dataclass(frozen=True, slots=True)
class Extract:
    """A column that was taken from a path of a body when the call was stored.

    `always` says that where the column is not NULL, the path leads to the very same value. Else a call has in the
    column what the path leads to whenever that is a value `of_kind`, but also the same value from elsewhere.
    """

    column: str
    always: bool = False
    but: frozenset[str] = frozenset()
    """Values that the column has for others too."""


type Place = tuple[str, tuple[Step, ...]]


def place(path: str) -> Place:
    """Return a path, written with dots."""
    root, *steps = path.split(".")
    return root, tuple(Element(int(step)) if step.isdigit() else Member(step) for step in steps)


EXTRACTS: dict[Place, Extract] = {
    place("request_body.model"): Extract("model_requested", always=True),
    place("request_body.stream"): Extract("stream_requested"),
    place("response_body.model"): Extract("model_answered", always=True),
    place("response_body.id"): Extract("chatcmpl_id", always=True),
    # of several choices, the column has the first reason that is not "stop"
    place("response_body.choices.0.finish_reason"): Extract("finish_reason", but=frozenset({"stop"})),
    place("response_body.usage.prompt_tokens"): Extract("prompt_tokens"),
    place("response_body.usage.completion_tokens"): Extract("completion_tokens"),
    place("response_body.usage.total_tokens"): Extract("total_tokens"),
    place("response_body.usage.cached_tokens"): Extract("cached_tokens"),
    place("response_body.usage.completion_tokens_details.reasoning_tokens"): Extract("reasoning_tokens"),
}
"""The paths that are answered without looking into bodies, or with a look into few of them."""


def prefiltered(
    field: Field, node: Comparison, looked_up: Condition, test: Callable[[Operand], Condition], dialect: str
) -> Condition:
    """Return `looked_up`, the condition on the body, with one on a column before it where that says enough.

    A column is NULL where its value could not be read when the call was stored; then the body is asked, always.
    """
    extract = EXTRACTS.get((field.name, node.path.steps))
    if extract is None or node.path.measured:
        return looked_up
    column: Expression = EXCHANGES.c[extract.column]
    if extract.column == "stream_requested":
        return streamed(node, column, looked_up)
    if not tells(extract, node):
        return looked_up
    operand: Operand = (
        TextOperand(column, node.path.field, dialect)
        if extract.always or extract.but
        else NumberOperand(column, node.path.field, dialect)
    )
    known = test(operand) if extract.always else and_(test(operand), looked_up)
    if extract.always and node.comparator not in ("==", "@"):
        return case((column.is_not(None), known), else_=looked_up)
    return or_(known, and_(column.is_(None), looked_up))


def tells(extract: Extract, node: Comparison) -> bool:
    """Tell whether the column has the values of all calls for which the comparison holds."""
    if extract.always:
        return all(isinstance(value, Text) for value in node.values)
    if extract.but:
        texts = {value.value for value in node.values if isinstance(value, Text)}
        every_text = len(node.values) == sum(isinstance(value, Text) for value in node.values)
        if node.comparator in ("==", "@"):
            return every_text and not texts & extract.but
        return node.comparator in ("!=", "!@") and every_text and extract.but <= texts
    whole = all(isinstance(value, Number) and isinstance(value.value, int) for value in node.values)
    return whole and node.comparator in ("==", "@", ">", ">=", "<", "<=")


def streamed(node: Comparison, column: Expression, looked_up: Condition) -> Condition:
    """Return the condition for `stream`, whose column says whether the request has it as true."""
    values = node.values
    if node.comparator != "==" or any(isinstance(value, Null) or not isinstance(value, Truth) for value in values):
        return looked_up
    if values == (Truth(value=True, position=values[0].position),):
        return or_(column.is_(True), and_(column.is_(None), looked_up))
    return and_(or_(column.is_(False), column.is_(None)), looked_up)

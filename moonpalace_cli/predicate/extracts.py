"""Answer comparisons of the paths that matter from columns with an index, with the answer that the body would give."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import and_, case, or_

from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_cli.predicate.fields import EXTRACTS, Extract, Field
from moonpalace_cli.predicate.tree import Comparison, Null, Number, Text, Truth
from moonpalace_cli.predicate.values import Condition, Expression, NumberOperand, Operand, TextOperand


def prefiltered(
    field: Field, node: Comparison, looked_up: Condition, test: Callable[[Operand], Condition], dialect: str
) -> Condition:
    """Return `looked_up`, the condition on the body, with one on a column before it where that says enough.

    A column is NULL where its value could not be read when the call was stored; then the body is asked, always.
    """
    extract = EXTRACTS.get((field.column, node.path.steps))
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

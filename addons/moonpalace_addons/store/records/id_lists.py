"""Conditions on lists of ids, passed as one parameter so that one statement serves lists of any length."""

import json
from collections.abc import Iterable

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Integer, String, any_, column, func, literal, select


def among(tested: ColumnElement[int], numbers: Iterable[int], dialect_name: str) -> ColumnElement[bool]:
    """Return the condition that a column equals one of these numbers."""
    if dialect_name == "sqlite":
        listed = func.json_each(literal(json.dumps(list(numbers)), String())).table_valued(column("value", Integer))
        return tested.in_(select(listed.c.value))
    return tested == any_(literal(list(numbers), ARRAY(BigInteger)))

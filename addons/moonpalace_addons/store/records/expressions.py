"""The SQL expressions of the fields in the catalogue."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Float, Text, literal_column
from sqlalchemy.types import TypeEngine

from moonpalace_addons.store.field import Field, Kind
from moonpalace_addons.store.records.request_headers import request_headers
from moonpalace_addons.store.records.response_headers import response_headers
from moonpalace_addons.store.schema import EXCHANGES

TYPES: dict[Kind, type[TypeEngine[Any]]] = {
    "whole": BigInteger,
    "decimal": Float,
    "truth": Boolean,
    "moment": BigInteger,
}
"""SQL types of derived fields; others are text."""

HEADERS = {"request_headers": request_headers(), "response_headers": response_headers()}
"""Columns whose values may be stored in pieces."""


def stored(name: str) -> ColumnElement[Any]:
    """Return a column of `exchanges`, with headers assembled from their pieces."""
    return HEADERS.get(name, EXCHANGES.c[name])


def expression(field: Field) -> ColumnElement[Any]:
    """Return the expression for a field of the enclosing query's calls; for tags, the first. Bodies have none."""
    if field.sql:
        return literal_column(f"({field.sql})", TYPES.get(field.kind, Text)())
    return stored(field.source)

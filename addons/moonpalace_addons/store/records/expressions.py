"""What the fields of the catalogue are in SQL."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Float, Text, literal_column
from sqlalchemy.types import TypeEngine

from moonpalace_addons.store.fields import Field, Kind
from moonpalace_addons.store.records.request_headers import request_headers
from moonpalace_addons.store.records.response_headers import response_headers
from moonpalace_addons.store.schema import EXCHANGES

TYPES: dict[Kind, type[TypeEngine[Any]]] = {
    "whole": BigInteger,
    "decimal": Float,
    "truth": Boolean,
    "moment": BigInteger,
}
"""Of what is derived; else text."""

HEADERS = {"request_headers": request_headers(), "response_headers": response_headers()}
"""Columns that may stand in pieces, put together."""


def stored(name: str) -> ColumnElement[Any]:
    """Return what a call has in a column of `exchanges`, headers that are kept apart included."""
    return HEADERS.get(name, EXCHANGES.c[name])


def expression(field: Field) -> ColumnElement[Any]:
    """Return a field of the calls in the enclosing query; of tags the first. Bodies are no expression."""
    if field.sql:
        return literal_column(f"({field.sql})", TYPES.get(field.kind, Text)())
    return stored(field.source)

"""Response headers, with the form that many calls share stored once in `parts`, as with request headers.

Responses differ in date, request id, server time and length, which have columns of their own; in the shared piece they
are replaced by control characters, which no header can contain. The column `response_headers` is then NULL and
`response_headers_part` the id of the piece. Headers that are short, or that contain these characters, stay in
`response_headers`.
"""

import re
from typing import NamedTuple

from sqlalchemy import ColumnElement, Text, cast, func, select

from moonpalace_addons.store.records.request_headers import AsText
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, PARTS

MIN_LENGTH = 150
"""Shorter headers (in characters) stay in the row: date, piece id and piece would take nearly as much space."""

MARKS = {"response_date": "\x01", "msh_request_id": "\x02", "server_timing": "\x03", "response_bytes": "\x04"}
"""Placeholders for these columns."""

RESERVED = re.compile(f"[\x00{''.join(MARKS.values())}]")
# Matching the preceding newline is much faster than ^.
VARYING = re.compile(
    r"\n(?:date:[ \t]*(?P<response_date>[^\r\n]+)"
    r"|(?:msh-request-id|x-request-id|request-id):[ \t]*(?P<msh_request_id>[^\r\n]+)"
    r"|(?:server-timing|openai-processing-ms):[ \t]*(?:[^\r\n]*;[ \t]*dur=)?(?P<server_timing>[^\r\n]+)"
    r"|content-length:[ \t]*(?P<response_bytes>[^\r\n]+))",
    re.IGNORECASE,
)
UNSHARED: Values = {"response_headers_part": None, "response_date": None}


class Form(NamedTuple):
    """The stored form of headers: the shared piece and the date."""

    piece: bytes
    date: str | None


def shared_form(row: Values) -> Form | None:
    """Return the stored form of the response headers of a row of `exchanges`, None to leave them in the row."""
    headers = row.get("response_headers")
    if not isinstance(headers, str) or len(headers) < MIN_LENGTH or RESERVED.search(headers):
        return None
    values = {name: str(row[name]) for name in MARKS if name != "response_date" and row.get(name) is not None}

    def marked(field: re.Match[str]) -> str:
        column = str(field.lastgroup)
        value = field[column]
        if column == "response_date":
            values.setdefault(column, value)  # of several dates, the first one is kept
        is_there = value == values.get(column)
        return field[0][: -len(value)] + MARKS[column] if is_there else field[0]

    return Form(VARYING.sub(marked, f"\n{headers}")[1:].encode(), values.get("response_date"))


def response_headers() -> ColumnElement[str]:
    """Return the response headers of the enclosing query's row of EXCHANGES, as in the view `moonshot_requests`.

    NULL if there was no answer or the piece is missing.
    """
    text: ColumnElement[str] = AsText(PARTS.c.data)
    for name, mark in MARKS.items():
        text = func.replace(text, mark, func.coalesce(cast(EXCHANGES.c[name], Text), ""), type_=Text())
    shared = select(text).where(PARTS.c.id == EXCHANGES.c.response_headers_part).correlate(EXCHANGES).scalar_subquery()
    return func.coalesce(EXCHANGES.c.response_headers, shared, type_=Text()).label("response_headers")

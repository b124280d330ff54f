"""The headers of answers: what many calls have alike is one of the pieces in `parts`, as that of requests is.

Answers differ in their date, number, time and length. What of these has a column stands there alone; where it stands in
the headers, the piece has a control character, which no header can hold. The column `response_headers` is NULL then,
and `response_headers_part` the id of the piece. Headers that are short, or that hold these characters, stand in
`response_headers` as they are.
"""

import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Text, cast, func, select

from moonpalace_addons.store.records.request_headers import AsText
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, PARTS

SHORT = 150
"""Characters below which headers stay in the row: the date, the piece's number and a piece take nearly as much."""

MARKS = {"response_date": "\x01", "msh_request_id": "\x02", "server_timing": "\x03", "response_bytes": "\x04"}
"""What stands for these columns."""

UNFIT = ("\x00", *MARKS.values())
# A line's beginning is found much quicker by the character before it than by ^.
VARYING = re.compile(
    r"\n(?:(?P<response_date>date)|(?P<msh_request_id>msh-request-id)|(?P<server_timing>server-timing)"
    r"|(?P<response_bytes>content-length)):[ \t]*(?:[^\r\n]*;[ \t]*dur=)?(?P<value>[^\r\n]+)",
    re.IGNORECASE,
)
DATE = re.compile(r"\ndate:[ \t]*([^\r\n]+)", re.IGNORECASE)
UNSHARED: Values = {"response_headers_part": None, "response_date": None}


@dataclass(frozen=True, slots=True)
class Form:
    """Headers as they are kept: the piece, and the date that they have."""

    piece: bytes
    date: str | None


def shared_form(row: Values) -> Form | None:
    """Return how the headers of the answer in a row of `exchanges` are to be kept, None to leave them in the row."""
    headers = row.get("response_headers")
    if not isinstance(headers, str) or len(headers) < SHORT or any(character in headers for character in UNFIT):
        return None
    date = found[1] if (found := DATE.search(f"\n{headers}")) else None
    values = row | {"response_date": date}

    def marked(field: re.Match[str]) -> str:
        column = next(name for name in MARKS if field[name])
        is_there = field["value"] == str(values.get(column))
        return field[0][: -len(field["value"])] + MARKS[column] if is_there else field[0]

    return Form(VARYING.sub(marked, f"\n{headers}")[1:].encode(), date)


def response_headers() -> ColumnElement[str]:
    """Return the headers of the answer to the call of the enclosing query, as in the view `moonshot_requests`.

    NULL where there was no answer, and where the store has lost the piece.
    """
    whole: ColumnElement[str] = AsText(PARTS.c.data)
    for name, mark in MARKS.items():
        whole = func.replace(whole, mark, func.coalesce(cast(EXCHANGES.c[name], Text), ""), type_=Text())
    kept = select(whole).where(PARTS.c.id == EXCHANGES.c.response_headers_part).correlate(EXCHANGES).scalar_subquery()
    return func.coalesce(EXCHANGES.c.response_headers, kept, type_=Text()).label("response_headers")

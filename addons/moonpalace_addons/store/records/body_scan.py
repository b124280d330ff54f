"""A body inside a query that looks at many: put together as quickly as can be, and left alone if that shows enough."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Subquery, Text, case, func, literal, or_, select

from moonpalace_addons.store.records.body_text import Side, body_text, readable
from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, PARTS

ESCAPE = "!"


def scanned(side: Side, dialect_name: str, marks: Sequence[str] = ()) -> Subquery:
    """Return a table of one row, whose column `body` is the body as text of the enclosing query's row of EXCHANGES.

    NULL where `body_text` is, and where none of the marks occurs in it. As a table of its own, it is put together once
    however often it is mentioned.
    """
    # OFFSET keeps PostgreSQL from copying the expression to wherever it is used.
    text = quick_text(side) if dialect_name == "sqlite" else body_text(side, dialect_name)
    whole = select(text.label("body")).offset(None if dialect_name == "sqlite" else 0).subquery()
    if not marks:
        return whole
    return select(case((or_(*(holds(whole.c.body, mark) for mark in marks)), whole.c.body)).label("body")).subquery()


def quick_text(side: Side) -> ColumnElement[str | None]:
    """Return what `body_text` gives, on SQLite, a third faster.

    It leaves out to sort: SQLite walks through the ids in their order, and finds each piece by its id.
    """
    listed = EXCHANGES.c[f"{side}_parts"]
    each = func.json_each(readable(listed)).table_valued("value", name=f"{side}_ids", joins_implicitly=True)
    is_whole = func.sum(PARTS.c.is_text) == func.json_array_length(readable(listed))
    text = case((is_whole, func.group_concat(PARTS.c.data, "", type_=Text())))
    query = select(text).select_from(each.join(PARTS, PARTS.c.id == each.c.value))
    return query.correlate(EXCHANGES).scalar_subquery()


def holds(body: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return the condition that a body holds a text; on SQLite ASCII letters match in either case."""
    escaped = "".join(ESCAPE + character if character in f"%_{ESCAPE}" else character for character in text)
    return body.like(literal(f"%{escaped}%", Text()), escape=ESCAPE)


def searched_text(side: Side, dialect_name: str) -> ColumnElement[str | None]:
    """Return what of a body is searched for words: its text or, of a stream that is not merged, its texts joined."""
    text = quick_text(side) if dialect_name == "sqlite" else body_text(side, dialect_name)
    if side == "request":
        return text
    whole = select(text.label("body")).correlate(EXCHANGES).offset(None if dialect_name == "sqlite" else 0).subquery()
    texts = select(EVENT_STREAMS.c.texts).where(EVENT_STREAMS.c.exchange_id == EXCHANGES.c.id)
    joined = func.coalesce(texts.correlate(EXCHANGES).scalar_subquery(), whole.c.body)
    # A merged stream is a JSON object, and so are nearly all other answers: that there are no texts shows in a byte.
    found = case((func.substr(whole.c.body, 1, 1) == "{", whole.c.body), else_=joined)
    return select(found).select_from(whole).correlate(EXCHANGES).scalar_subquery()

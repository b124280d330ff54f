"""Bodies inside queries over many calls, assembled as cheaply as possible."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Subquery, Text, case, func, literal, or_, select

from moonpalace_addons.store.records.body_text import Side, body_text, valid_list
from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, PARTS

ESCAPE = "!"


def scanned(side: Side, dialect_name: str, marks: Sequence[str] = ()) -> Subquery:
    """Return a subquery of one row whose column `body` is the body's text for the enclosing query's row of EXCHANGES.

    NULL where `body_text` is NULL, and where the body contains none of the marks. As a subquery it is assembled once
    however often it is referenced.
    """
    # OFFSET keeps PostgreSQL from inlining the expression at each use.
    text = quick_text(side) if dialect_name == "sqlite" else body_text(side, dialect_name)
    scan = select(text.label("body")).offset(None if dialect_name == "sqlite" else 0).subquery()
    if not marks:
        return scan
    return select(case((or_(*(holds(scan.c.body, mark) for mark in marks)), scan.c.body)).label("body")).subquery()


def quick_text(side: Side) -> ColumnElement[str | None]:
    """Return the same as `body_text`, a third faster, on SQLite.

    It does not sort, because SQLite reads the ids in their order and finds each piece by its id.
    """
    listed = EXCHANGES.c[f"{side}_parts"]
    each = func.json_each(valid_list(listed)).table_valued("value", name=f"{side}_ids", joins_implicitly=True)
    is_whole = func.sum(PARTS.c.is_text) == func.json_array_length(valid_list(listed))
    text = case((is_whole, func.group_concat(PARTS.c.data, "", type_=Text())))
    query = select(text).select_from(each.join(PARTS, PARTS.c.id == each.c.value))
    return query.correlate(EXCHANGES).scalar_subquery()


def holds(body: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return the condition that a body contains a text; SQLite ignores the case of ASCII letters."""
    escaped = "".join(ESCAPE + character if character in f"%_{ESCAPE}" else character for character in text)
    return body.like(literal(f"%{escaped}%", Text()), escape=ESCAPE)


def searched_text(side: Side, dialect_name: str) -> ColumnElement[str | None]:
    """Return the text of a body that word searches read: for a stream that is not merged, its texts joined."""
    text = quick_text(side) if dialect_name == "sqlite" else body_text(side, dialect_name)
    if side == "request":
        return text
    scan = select(text.label("body")).correlate(EXCHANGES).offset(None if dialect_name == "sqlite" else 0).subquery()
    texts = select(EVENT_STREAMS.c.texts).where(EVENT_STREAMS.c.exchange_id == EXCHANGES.c.id)
    joined = func.coalesce(texts.correlate(EXCHANGES).scalar_subquery(), scan.c.body)
    # Merged streams and nearly all other answers are JSON objects, which have no texts: the first byte is enough.
    result = case((func.substr(scan.c.body, 1, 1) == "{", scan.c.body), else_=joined)
    return select(result).select_from(scan).correlate(EXCHANGES).scalar_subquery()

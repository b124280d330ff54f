"""Bodies inside queries: their pieces, and the text that they add up to."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import JSON, BigInteger, ColumnElement, FromClause, Integer, Text, case, cast, column, func, select

from moonpalace_addons.store.schema import EXCHANGES, PARTS

type Side = Literal["request", "response"]

SIDES: tuple[Side, Side] = ("request", "response")


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of one body of each row of EXCHANGES; join `source` to EXCHANGES without a condition."""

    source: FromClause
    position: ColumnElement[int]
    part_id: ColumnElement[int]


def pieces(side: Side, dialect_name: str) -> Pieces:
    """Return the pieces of a body: no rows without a body, else at least one."""
    listed = EXCHANGES.c[f"{side}_parts"]
    name = f"{side}_pieces"
    if dialect_name == "sqlite":
        columns = (column("key", Integer), column("value", Integer))
        source = func.json_each(valid_list(listed)).table_valued(*columns, name=name, joins_implicitly=True)
        return Pieces(source, source.c.key, source.c.value)
    elements = func.json_array_elements_text(cast(listed, JSON))
    source = elements.table_valued(column("value", Text), with_ordinality="key", name=name, joins_implicitly=True)
    source = source.render_derived()
    return Pieces(source, source.c.key, cast(source.c.value, BigInteger))


def valid_list(listed: ColumnElement[str | None]) -> ColumnElement[str | None]:
    """Return a list of pieces, NULL if it is not JSON, which would abort SQLite's query."""
    return case((func.json_valid(listed) == 1, listed))


def body_text(side: Side, dialect_name: str) -> ColumnElement[str | None]:
    """Return the decoded body of the enclosing query's row of EXCHANGES as text, as in the view `moonshot_requests`.

    NULL if there is no body, if it is not text, or if a piece of it is missing.
    """
    listed = pieces(side, dialect_name)
    is_sqlite = dialect_name == "sqlite"
    as_text = cast(PARTS.c.data, Text) if is_sqlite else func.convert_from(PARTS.c.data, "UTF8")
    piece = case((PARTS.c.is_text, as_text)).label("piece")
    # SQLite 3.40 has no ORDER BY inside aggregates; both databases keep the order of a subquery.
    ordered = (
        select(piece)
        .select_from(listed.source.outerjoin(PARTS, PARTS.c.id == listed.part_id))
        .order_by(listed.position)
        .correlate(EXCHANGES)
        .subquery()
    )
    text = (func.group_concat if is_sqlite else func.string_agg)(ordered.c.piece, "")
    result = case((func.count() == func.count(ordered.c.piece), text))
    return select(result).select_from(ordered).correlate(EXCHANGES).scalar_subquery()

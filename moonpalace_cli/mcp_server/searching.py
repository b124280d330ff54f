"""Search calls: one line each, newest first, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.mcp_server.arguments import Parameter, cursor_of, filters_of, tokens_of
from moonpalace_cli.mcp_server.pages import Page, with_cursor
from moonpalace_cli.mcp_server.quoting import quoted

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from moonpalace_addons.store.exchange import Exchange
    from moonpalace_cli.mcp_server.reading import Reader

DEFAULT_LIMIT, MAX_LIMIT = 20, 500
NONE = "No stored call matches."
PARAMETERS = (
    Parameter("limit", f"Calls at most; {DEFAULT_LIMIT} if left out.", "integer", bounds=(1, MAX_LIMIT)),
    Parameter("session_of", "Only calls of the session that this call belongs to.", "call"),
)


def search(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Return the newest matching calls."""
    conditions = [filters_of(arguments).condition(reader.engine)]
    if (name := arguments.get("session_of")) is not None:
        conditions.append(in_session(reader, reader.row(reader.find(name))))
    return listed(reader, arguments, [each for each in conditions if each is not None], Page(tokens_of(arguments)))


def in_session(reader: Reader, row: Exchange) -> ColumnElement[bool]:
    """Return the condition for the calls of a call's session."""
    from moonpalace_addons.store.schema import EXCHANGES

    if row.session is None:
        raise MoonPalaceError(f"call {row.id} names no session: no header, metadata or prompt_cache_key does")
    return EXCHANGES.c.session == row.session


def listed(reader: Reader, arguments: Mapping[str, object], where: list[ColumnElement[bool]], answer: Page) -> str:
    """Fill a page with the newest calls that meet all conditions, from the cursor on."""
    from sqlalchemy import and_, true

    from moonpalace_addons.store.records import exchanges

    limit = cast(int, arguments.get("limit", DEFAULT_LIMIT))
    if cursor := cursor_of(arguments):
        where = [*where, before(reader, cursor)]
    rows = exchanges.latest(reader.engine, limit=limit + 1, where=and_(true(), *where))
    if not rows:
        answer.add(NONE)
    last: Exchange | None = None
    for row in rows[:limit]:
        (line,) = quoted(reader.line(row))
        if not answer.add(line):
            break
        last = row
    is_whole = last is None or last == rows[-1]
    return answer.text() if is_whole or last is None else answer.text(with_cursor(str(last.id)))


def before(reader: Reader, cursor: str) -> ColumnElement[bool]:
    """Return the condition for the calls that are listed after the one in the cursor."""
    from sqlalchemy import tuple_

    from moonpalace_addons.store.records.ordering import AGE
    from moonpalace_addons.store.records.values import microseconds

    if not cursor.isdecimal() or len(cursor) > 18:
        raise MoonPalaceError("the cursor does not come from search_calls: call without it to start over")
    last = reader.row(int(cursor))
    return tuple_(*AGE) < tuple_(microseconds(last.started_at), last.id)

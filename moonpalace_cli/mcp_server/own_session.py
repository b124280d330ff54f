"""Find the session of the calling agent among the calls that it made through the proxy."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from moonpalace_addons.errors import MoonPalaceError, NotFoundError
from moonpalace_addons.store.records.values import microseconds
from moonpalace_cli.mcp_server.arguments import Parameter, tokens_of
from moonpalace_cli.mcp_server.pages import Page
from moonpalace_cli.mcp_server.searching import PARAMETERS as SEARCHING
from moonpalace_cli.mcp_server.searching import in_session, listed

if TYPE_CHECKING:
    from moonpalace_addons.store.exchange import Exchange
    from moonpalace_cli.mcp_server.reading import Reader

SENT_BY_CLIENT = "_meta"
"""The argument in which the server passes the metadata of the client's request."""
MARK = re.compile(r"[A-Za-z0-9_-]{6,100}")
RECENT = timedelta(minutes=15)
MAX_LOOKED_AT = 30
"""Newest calls whose answers are searched for a mark."""
PATIENCE, PAUSE = 3.0, 0.25
"""Seconds to wait for the answer that requested this tool to be stored, and between attempts."""
MAX_DEPTH = 4
"""Maximum depth of objects in the metadata."""

PARAMETERS = (
    Parameter("mark", "A word of 6 or more letters, digits and hyphens that you have made up for this call."),
    Parameter("session", "The name of your session, if you know what your requests call it."),
    Parameter("call", "One of your calls, if you know its number or the id of its answer.", "call"),
    SEARCHING[0],
)


def session(reader: Reader, arguments: Mapping[str, object]) -> str:
    """List the calls of the session, newest first."""
    from moonpalace_addons.store.schema import EXCHANGES

    own = own_call(reader, arguments)
    answer = Page(tokens_of(arguments))
    if own.session is None:
        answer.add(f"Your call {own.id} names no session. It is the only one that is certainly yours:")
        return listed(reader, {}, [EXCHANGES.c.id == own.id], answer)
    answer.add(f"Your session, found by call {own.id}; search_calls finds more with session_of {own.id}:")
    return listed(reader, arguments, [in_session(reader, own)], answer)


def own_call(reader: Reader, arguments: Mapping[str, object]) -> Exchange:
    """Return a call of the calling agent; raise MoonPalaceError if none is found."""
    if (name := arguments.get("call")) is not None:
        return reader.row(reader.find(name))
    if (name := arguments.get("session")) is not None:
        return newest_of(reader, [cast(str, name)]) or missing("no stored call is of this session")
    ids = list(ids_in(arguments.get(SENT_BY_CLIENT)))
    mark = arguments.get("mark")
    if mark is not None and not MARK.fullmatch(cast(str, mark)):
        raise MoonPalaceError("mark must be one word of 6 to 100 letters, digits, hyphens and underscores")
    marks = [*([cast(str, mark)] if mark else []), *ids]
    if not marks:
        raise MoonPalaceError("give a mark that you make up, the name of your session, or one of your calls")
    return newest_of(reader, ids) or marked(reader, marks)


def missing(description: str) -> Exchange:
    """Raise NotFoundError."""
    raise NotFoundError(f"{description}: do your requests pass through MoonPalace, into this store?")


def ids_in(metadata: object, depth: int = 0) -> Iterator[str]:
    """Yield the ids in a client's metadata, such as `threadId`, `session_id`, `claudecode/toolUseId`."""
    if not isinstance(metadata, Mapping) or depth >= MAX_DEPTH:
        return
    for name, value in metadata.items():
        if isinstance(value, str) and str(name).lower().endswith("id") and MARK.fullmatch(value):
            yield value
        yield from ids_in(value, depth + 1)


def newest_of(reader: Reader, sessions: Sequence[str]) -> Exchange | None:
    """Return the newest call of any of these sessions."""
    from moonpalace_addons.store.records import exchanges
    from moonpalace_addons.store.schema import EXCHANGES

    calls = exchanges.latest(reader.engine, limit=1, where=EXCHANGES.c.session.in_(sessions)) if sessions else []
    return calls[0] if calls else None


def marked(reader: Reader, marks: Sequence[str]) -> Exchange:
    """Return the newest call whose answer contains one of the marks; wait for it to be stored."""
    encoded = [mark.encode() for mark in marks]
    deadline = time.monotonic() + PATIENCE
    while (row := with_mark(reader, encoded)) is None and time.monotonic() < deadline:
        time.sleep(PAUSE)
    return row or missing("no recent answer has the mark")


def with_mark(reader: Reader, marks: Sequence[bytes]) -> Exchange | None:
    """Return the newest of the recent calls whose answer contains one of the marks."""
    from moonpalace_addons.store.records import contents, exchanges
    from moonpalace_addons.store.schema import EXCHANGES

    since = EXCHANGES.c.started_at >= microseconds(datetime.now(UTC) - RECENT)
    for row in exchanges.latest(reader.engine, limit=MAX_LOOKED_AT, where=since):
        bodies = contents.bodies(reader.engine, row.id)
        body = b"".join(filter(None, (bodies.response, bodies.event_stream)))
        if any(mark in body for mark in marks):
            return row
    return None

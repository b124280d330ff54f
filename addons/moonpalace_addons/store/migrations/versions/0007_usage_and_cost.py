"""Keep sessions, rate limits, tokens written to caches, costs and names of endpoints; read what earlier calls said."""

import json
import re
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from alembic import op

from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.records.request_headers import request_headers
from moonpalace_addons.store.records.response_headers import response_headers
from moonpalace_addons.store.schema import EXCHANGES, PARTS
from moonpalace_addons.wire import answer_headers, session, usage
from moonpalace_addons.wire.json_value import mapping, parse_bounded

revision = "0007"
down_revision = "0006"

TEXTS = ("endpoint_name", "session", "service_tier", "cost_currency")
NUMBERS = ("requests_left", "tokens_left", "retry_after", "cache_write_tokens", "cache_write_1h_tokens")
AMOUNTS = ("reported_cost", "cost", "cost_input", "cost_cached", "cost_output", "price_input", "price_cached")

AT_ONCE = 100
"""Calls in memory at once."""
MAX_PIECE = 4_000_000
"""Bytes of a piece of a body that is read."""
MEMBER = re.compile(rb'"(prompt_cache_key|user_id|session_id)"[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.)*")')

FILLED = (
    *("session", "msh_request_id", "server_timing", "requests_left", "tokens_left", "retry_after", "cached_tokens"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "cache_write_tokens"),
    *("cache_write_1h_tokens", "service_tier", "reported_cost"),
)


def upgrade() -> None:
    """Add the columns, and fill them from the headers and bodies of the calls, where nothing is known yet."""
    for name in TEXTS:
        op.add_column("exchanges", sa.Column(name, sa.Text()))
    for name in NUMBERS:
        op.add_column("exchanges", sa.Column(name, sa.BigInteger()))
    for name in AMOUNTS:
        op.add_column("exchanges", sa.Column(name, sa.Float()))
    connection, table, last = op.get_bind(), EXCHANGES.c, 0
    query = sa.select(table.id, request_headers(), response_headers(), table.request_parts, table.response_parts)
    query = query.order_by(table.id).limit(AT_ONCE)
    while rows := connection.execute(query.where(table.id > last)).all():
        pieces = read_pieces(connection, {piece for row in rows for side in row[3:] for piece in ends(side)})
        for row in rows:
            request, response = ([pieces.get(piece, b"") for piece in ends(side)] for side in row[3:])
            if found := read(named(row[1]), named(row[2]), request, b"".join(response)):
                values = {name: sa.func.coalesce(table[name], value) for name, value in found.items()}
                connection.execute(sa.update(EXCHANGES).where(table.id == row.id).values(values))
        last = rows[-1].id


def ends(listed: str | None) -> list[int]:
    """Return the first and the last piece of a body, where all but its messages stands."""
    try:
        pieces = json.loads(listed or "[]")
    except ValueError:
        return []
    return [pieces[0], *pieces[1:][-1:]] if isinstance(pieces, list) and pieces else []


def read_pieces(connection: sa.Connection, wanted: Collection[int]) -> dict[int, bytes]:
    """Return these pieces, without large ones."""
    query = sa.select(PARTS.c.id, PARTS.c.data).where(PARTS.c.id.in_(wanted), sa.func.length(PARTS.c.data) <= MAX_PIECE)
    return {row.id: row.data for row in connection.execute(query)}


def read(
    request_head: Mapping[str, str], response_head: Mapping[str, str], request: Sequence[bytes], response: bytes
) -> dict[str, object]:
    """Return what the headers and bodies of a call say."""
    said, counted = answer_headers.read(response_head), usage.of_answer(answer_of(response))
    values: dict[str, object] = {"session": session.of_request(request_head, members_of(request))}
    values |= {name: getattr(part, name) for part in (said, counted) for name in FILLED if hasattr(part, name)}
    return {name: value for name, value in values.items() if value is not None}


def named(headers: str | None) -> Mapping[str, str]:
    """Return headers by their lower-case names."""
    return {name.lower(): value for name, value in header_pairs(headers or "")}


def members_of(pieces: Sequence[bytes]) -> Mapping[str, object]:
    """Return the members of a request that may name a session."""
    if len(pieces) == 1:
        return mapping(parse_bounded(pieces[0])) if MEMBER.search(pieces[0]) else {}
    found = {name.decode(): parse_bounded(value) for name, value in MEMBER.findall(b" ".join(pieces))}
    return {"prompt_cache_key": found.pop("prompt_cache_key", None), "metadata": found}


def answer_of(body: bytes) -> Mapping[str, object]:
    """Return an answer, or of a stream that is not merged an object with its usage."""
    if b'"usage"' not in body:
        return {}
    if body.startswith(b"{"):
        return mapping(parse_bounded(body))
    merged: dict[str, object] = {}
    for line in body.splitlines():
        if b'"usage"' in line:
            merged |= usage.find(mapping(parse_bounded(line.removeprefix(b"data:"))))
    return {"usage": merged}

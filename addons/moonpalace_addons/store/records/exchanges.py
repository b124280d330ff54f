"""The rows of calls, without what the calls carried: values in, values out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Connection, Engine, RowMapping, bindparam, insert, select, update

from moonpalace_addons.store.records.values import GREATEST, Values
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import State


@dataclass(frozen=True, slots=True)
class Exchange:
    """One stored call without its bodies. Durations are in nanoseconds, `server_timing` in milliseconds."""

    id: int
    uuid: str
    state: State
    started_at: datetime
    method: str
    endpoint: str
    path: str
    query: str
    request_headers: str
    request_content_type: str | None
    request_bytes: int
    client_request_id: str | None
    key_fingerprint: str | None
    changes: tuple[str, ...]
    status_code: int | None
    response_headers: str | None
    response_content_type: str | None
    response_bytes: int | None
    msh_request_id: str | None
    msh_uid: str | None
    msh_gid: str | None
    server_timing: int | None
    context_cache_id: str | None
    chatcmpl_id: str | None
    model_requested: str | None
    model_answered: str | None
    is_stream: bool
    is_coerced: bool
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    time_to_headers: int | None
    time_to_first_token: int | None
    time_to_first_visible_token: int | None
    time_per_output_token: int | None
    output_tokens_per_second: float | None
    longest_stall: int | None
    gap_p50: int | None
    gap_p90: int | None
    gap_p99: int | None
    latency: int | None
    overhead: int | None
    warnings: tuple[str, ...]
    error_kind: str | None
    error_message: str | None
    cache_outcome: str | None
    cache_tokens: int | None
    category: str | None
    note: str | None


NAMES = tuple(field.name for field in fields_of(Exchange))
COLUMNS = [EXCHANGES.c[name] for name in NAMES]


def to_exchange(row: RowMapping | Mapping[str, object]) -> Exchange:
    """Return the value for a row of the table, or for the values that are about to become one."""
    values = {name: row[name] for name in NAMES}
    values["state"] = State(str(values["state"]))
    values["started_at"] = datetime.fromtimestamp(cast(int, values["started_at"]) / 1e6, UTC)
    for name in ("changes", "warnings"):
        values[name] = tuple(json.loads(cast(str, values[name]))) if values[name] else ()
    return Exchange(**values)  # type: ignore[arg-type]


def latest(engine: Engine, *, limit: int, chat_only: bool = False) -> list[Exchange]:
    """Return at most `limit` calls, newest first; with `chat_only`, those to a `…/chat/completions`."""
    query = select(*COLUMNS).order_by(EXCHANGES.c.id.desc()).limit(min(limit, GREATEST))
    if chat_only:
        query = query.where(EXCHANGES.c.path.endswith("/chat/completions"))
    with engine.connect() as connection:
        return [to_exchange(row) for row in connection.execute(query).mappings()]


def find(
    engine: Engine,
    *,
    id: int | None = None,  # noqa: A002 - the name of the column
    chatcmpl: str | None = None,
    request_id: str | None = None,
) -> list[Exchange]:
    """Return the calls for which all given identifiers hold, newest first."""
    given = {EXCHANGES.c.id: id, EXCHANGES.c.chatcmpl_id: chatcmpl, EXCHANGES.c.msh_request_id: request_id}
    query = select(*COLUMNS).order_by(EXCHANGES.c.id.desc())
    for column, value in given.items():
        if value is not None:
            query = query.where(column == value)
    with engine.connect() as connection:
        try:
            return [to_exchange(row) for row in connection.execute(query).mappings()]
        except (OverflowError, UnicodeEncodeError):
            return []  # no column can hold such an integer or text


def insert_exchanges(connection: Connection, rows: Sequence[Values]) -> dict[str, int]:
    """Insert rows of `exchanges`, which all have the same columns; return their ids by uuid."""
    if not rows:
        return {}
    returned = connection.execute(insert(EXCHANGES).returning(EXCHANGES.c.uuid, EXCHANGES.c.id), rows)
    return {row.uuid: row.id for row in returned}


def update_exchanges(connection: Connection, rows: Sequence[Values]) -> None:
    """Update rows of `exchanges` by their `id`; all rows have the same columns."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "id"]
    statement = (
        update(EXCHANGES)
        .where(EXCHANGES.c.id == bindparam("row_id"))
        .values({name: bindparam(f"new_{name}") for name in columns})
    )
    renamed = [{"row_id": row["id"]} | {f"new_{name}": row[name] for name in columns} for row in rows]
    connection.execute(statement, renamed)

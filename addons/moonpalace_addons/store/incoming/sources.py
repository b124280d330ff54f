"""Open another store, ours or the original's, read-only as the source of an import."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import make_engine, parse_url, refusal, shown
from moonpalace_addons.store.database.engine import sqlite_file as file_of
from moonpalace_addons.store.database.file_checks import read_only, read_only_uri
from moonpalace_addons.store.database.opening import current_revision
from moonpalace_addons.store.incoming import legacy, legacy_calls, transfer_rows
from moonpalace_addons.store.incoming.document_files import IMPORTED, is_export
from moonpalace_addons.store.incoming.exported import DocumentSource
from moonpalace_addons.store.incoming.transfer import Transferred
from moonpalace_addons.store.records import contents, explanations, labels, runs
from moonpalace_addons.store.revision import REVISION
from moonpalace_addons.store.state import State
from moonpalace_addons.store.write import recovery
from moonpalace_addons.wire.chat import stream_texts


class Source(Protocol):
    """A store to import calls from."""

    def count(self) -> int:
        """Return the number of calls."""

    def keys(self) -> Iterator[tuple[int, str]]:
        """Yield id and uuid of every call, oldest first."""

    def load(self, row_id: int) -> Transferred | None:
        """Return a call with its bodies; None if it is in flight or deleted."""


@contextmanager
def opened_source(url: str) -> Iterator[Source]:
    """Yield the store at `url`; raises StoreError with a one-line message if it cannot be read."""
    parsed = parse_url(url)
    file = file_of(parsed)
    if file is not None and not file.is_file():
        raise StoreError(f"there is no file {file}")
    if file is not None and is_export(file):
        yield DocumentSource(file)
        return
    if file is not None and is_legacy(file):
        with closing(read_only(file)) as connection:
            yield LegacySource(connection, file)
        return
    if file is not None:
        parsed = parsed.set(database=read_only_uri(file), query={"uri": "true"})
    engine = make_engine(parsed)
    if file is None:
        engine = engine.execution_options(postgresql_readonly=True)
    try:
        check_revision(engine, url)
        with engine.connect() as connection:
            yield OwnSource(engine, connection)
    except DBAPIError as error:
        raise refusal("cannot read", parse_url(url), error) from error
    finally:
        engine.dispose()


def is_legacy(file: Path) -> bool:
    """Return whether the original wrote this file; raises StoreError if it cannot be read."""
    try:
        with closing(read_only(file)) as connection:
            return legacy.is_legacy(connection)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"cannot import {file}: it is neither a database nor an export; {IMPORTED}") from error
        raise StoreError(f"cannot read {file}: {error}") from error


def check_revision(engine: Engine, url: str) -> None:
    """Raise StoreError for a store that is not ours or has another schema, because a reader must not upgrade it."""
    parsed = parse_url(url)
    revision = current_revision(engine, parsed)
    if revision is None:
        raise StoreError(f"{shown(parsed)} is empty")
    if revision != REVISION:
        hint = "upgrade this MoonPalace" if revision > REVISION else "open it once, as with mpal list --database"
        raise StoreError(f"{shown(parsed)} has the schema {revision}, this MoonPalace knows {REVISION}: {hint}")


class LegacySource:
    """A database file of the original MoonPalace."""

    def __init__(self, connection: sqlite3.Connection, file: Path) -> None:
        self._connection = connection
        self._written = file.stat().st_mtime_ns // 1000
        self._moments: dict[int, int] = {}  # for rows whose own time cannot be read

    def count(self) -> int:
        """Return the number of calls."""
        return legacy.count(self._connection)

    def keys(self) -> Iterator[tuple[int, str]]:
        """Yield id and uuid of every call, oldest first."""
        for row, moment in legacy_calls.with_times(legacy.keys(self._connection), otherwise=self._written):
            number = legacy_calls.integer(row["id"]) or 0
            if legacy_calls.microseconds(legacy_calls.text(row["created_at"])) is None:
                self._moments[number] = moment
            yield number, legacy_calls.identity(row)

    def load(self, row_id: int) -> Transferred:
        """Return a call with its bodies."""
        row = legacy.row(self._connection, row_id)
        moment = legacy_calls.microseconds(legacy_calls.text(row["created_at"]))
        return legacy_calls.to_call(row, self._moments[row_id] if moment is None else moment)


class OwnSource:
    """A store of ours. Calls left by a dead proxy are returned as its next start would finish them."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._engine = engine
        self._connection = connection
        self._run = cache(lambda run_id: transfer_rows.run_of(connection, run_id))
        self._open = {run.id: recovery.is_alive(run) for run in runs.open_runs(connection)}

    def count(self) -> int:
        """Return the number of calls."""
        return transfer_rows.count(self._connection)

    def keys(self) -> Iterator[tuple[int, str]]:
        """Yield id and uuid of every call, oldest first."""
        return transfer_rows.keys(self._connection)

    def load(self, row_id: int) -> Transferred | None:
        """Return a call with its bodies; None if it is in flight or deleted."""
        columns = transfer_rows.columns_of(self._connection, row_id)
        if columns is None:
            return None
        run_id = str(columns["run_id"])
        tags = labels.tags_of(self._engine, [row_id]).get(row_id, ())
        if columns["state"] == State.IN_FLIGHT:
            # A run that is not listed has started since, and is alive.
            return None if self._open.get(run_id, True) else self._finished(row_id, columns, tags)
        bodies = contents.bodies(self._engine, row_id)
        return Transferred(
            str(columns["uuid"]),
            columns,
            request_body=bodies.request,
            is_over=True,
            response_body=bodies.response,
            stream=bodies.event_stream,
            times=contents.event_times(self._engine, row_id),
            texts=stream_texts.of_answer(bodies.event_stream, bodies.response),
            run=self._run(run_id),
            tags=tags,
            explanations=tuple(explanations.of_call(self._engine, row_id)),
        )

    def _finished(self, row_id: int, columns: dict[str, object], tags: tuple[str, ...]) -> Transferred | None:
        run_id = str(columns["run_id"])
        for left in runs.unfinished(self._connection, run_id):
            if left.exchange.id == row_id:
                unit = Transferred(
                    left.exchange.uuid, columns, request_body=left.request_body, run=self._run(run_id), tags=tags
                )
                recovery.end(unit, left)
                return unit
        return None

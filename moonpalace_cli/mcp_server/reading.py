"""Read stored calls for a client, with pseudonyms for people and accounts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError, NotFoundError
from moonpalace_addons.store.state import State

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.database.store_file import Identity
    from moonpalace_addons.store.exchange import Exchange
    from moonpalace_cli.calls.reading import Call
    from moonpalace_cli.redaction.redactor import Redactor
    from moonpalace_cli.views.showing.facts import Facts

LINE_WIDTH = 160
"""The columns of a call in one line."""
KEPT_CALLS = 4
"""Calls cached in memory, because a long one is read page by page."""


@dataclass(frozen=True, slots=True)
class Options:
    """The permissions of a server; with `raw` nothing is replaced by pseudonyms."""

    database: str
    pattern: str | None = None
    raw: bool = False
    allow_label: bool = False


class Reader:
    """The store, opened when it is first needed, because a client may start before it exists."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._engine: Engine | None = None
        self._redactor: Redactor | None = None
        self._identity: Identity = None
        self._kept = lru_cache(KEPT_CALLS)(self._read)

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()

    def follow(self) -> None:
        """Close a store whose file was deleted or replaced: SQLite would keep reading the old file."""
        if self._engine is None:
            return
        from moonpalace_addons.store.database.engine import sqlite_file
        from moonpalace_addons.store.database.store_file import identity

        file = sqlite_file(self._engine.url)
        if file is not None and identity(file) != self._identity:
            self.close()
            self._engine = self._redactor = None
            self._kept.cache_clear()

    @property
    def engine(self) -> Engine:
        """The store, read-only."""
        if self._engine is None:
            from moonpalace_addons.store.database.engine import sqlite_file
            from moonpalace_addons.store.database.opening import open_store
            from moonpalace_addons.store.database.read_only import make_read_only
            from moonpalace_addons.store.database.store_file import identity
            from moonpalace_cli.redaction.patterns import redactor
            from moonpalace_cli.web.time_limit import TimeLimit

            engine = open_store(self.options.database)
            make_read_only(engine)
            TimeLimit(engine)
            if not self.options.raw:
                try:
                    self._redactor = redactor(engine, self.options.pattern)
                except BaseException:
                    engine.dispose()
                    raise
            file = sqlite_file(engine.url)
            self._identity = identity(file) if file else None
            self._engine = engine
        return self._engine

    def find(self, name: object) -> int:
        """Return the id of the call with this number or identifier."""
        import click

        from moonpalace_cli.flags.named_calls import named_ids

        try:
            ids = named_ids(self.engine, [str(name)])
        except click.ClickException as error:
            raise MoonPalaceError(error.format_message()) from error
        if len(ids) > 1:
            raise MoonPalaceError("give one call, not several")
        return ids[0]

    def row(self, row_id: int) -> Exchange:
        """Return the stored row of a call."""
        from moonpalace_addons.store.read import selection

        for exchange in selection.in_order(self.engine, [row_id]):
            return exchange
        raise NotFoundError(f"call {row_id} is no longer stored")

    def call(self, name: object) -> Call:
        """Return a call, redacted unless the server shows it raw."""
        row = self.row(self.find(name))
        return self._read(row) if row.state is State.IN_FLIGHT else self._kept(row)

    def _read(self, row: Exchange) -> Call:
        call = self.unredacted(row)
        return call if self._redactor is None else self._redactor.redact(call)

    def unredacted(self, row: Exchange) -> Call:
        """Return a call with its stored bodies."""
        from moonpalace_cli.calls.reading import read_calls

        for call in read_calls(self.engine, [row.id]):
            return call
        raise NotFoundError(f"call {row.id} is no longer stored")

    def facts(self, name: object) -> Facts:
        """Return the facts about a call, redacted like the call."""
        from moonpalace_cli.views.showing.facts import read_facts

        call = self.call(name)
        stored = read_facts(self.engine, call.exchange)
        return replace(stored, call=call.exchange, bodies=call.bodies, tags=call.tags)

    def line(self, row: Exchange) -> str:
        """Return a call in one line, redacted."""
        from moonpalace_addons.store.records import contents
        from moonpalace_addons.views.call_line import call_line, line_text
        from moonpalace_addons.views.completions import parsed
        from moonpalace_addons.wire.chat.last_words import last_words

        body = contents.request_body(self.engine, row.id)
        words = last_words(parsed(body))
        if self._redactor is not None:
            row, words = self._redactor.redact_line(row, body, words)
        return line_text(call_line(row, words, LINE_WIDTH, day=True))

    def group_name(self, by: str, name: str | None) -> str | None:
        """Return the name of a group of calls; a pseudonym if it may identify somebody."""
        if self._redactor is None or name is None:
            return name
        return self._redactor.redact_name(by, name)

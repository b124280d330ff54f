"""The run of a writer in its store: the row with its heartbeat, and the calls of dead proxies that it finishes."""

from collections.abc import Callable
from typing import cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from moonpalace_addons.store.database.engine import refusal, writing
from moonpalace_addons.store.database.store_file import StoreFile
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records import idempotency, identity, runs
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write.recovery import recover

LIVING: set[str] = set()
"""The ids of the runs of this process."""


class OwnRun:
    """A run whose row is written by `begin`, and again by `follow` if the store is replaced by another one.

    `status` gives further columns of the row at each heartbeat; it must not raise.
    """

    def __init__(self, engine: Engine, row: Values, pricing: Pricing | None, status: Callable[[], Values]) -> None:
        self.row = row
        self.id = str(row["id"])
        self._engine = engine
        self._pricing = pricing
        self._status = status
        self._file = StoreFile(engine)
        self._has_begun = False
        LIVING.add(self.id)

    def begin(self) -> bytes:
        """Write the row and finish the calls of dead proxies; return the store's key for fingerprints of API keys.

        Raises StoreError, or any other error, if the store cannot be written.
        """
        try:
            with writing(self._engine) as connection:
                self.recover(connection)
                idempotency.ensure_run(connection, self.row)
                key = identity.fingerprint_key(connection)
        except DBAPIError as error:
            raise refusal("cannot write to", self._engine.url, error) from error
        self._has_begun = True
        return key

    def follow(self) -> bytes | None:
        """Begin again in a store that has replaced the earlier one, or that was unavailable; return its key.

        Return None if there is nothing to do. Raises what `begin` does.
        """
        if self._file.follow():
            self._has_begun = False
        return None if self._has_begun else self.begin()

    def recover(self, connection: Connection) -> None:
        """Finish the calls that dead proxies left in flight."""
        recover(connection, LIVING, cast(int, self.row["pid"]), self._pricing)

    def touch(self, connection: Connection, *, ended: bool) -> None:
        """Record a heartbeat, or the end of the run."""
        runs.touch_run(connection, self.id, self._status(), ended=ended)

    def end(self) -> None:
        """Let other writers of this process finish the calls that are left in flight."""
        LIVING.discard(self.id)

"""Store units in one transaction, or one by one if that fails, and classify the failures."""

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.outage import Outage, is_refusal, is_store_failure
from moonpalace_addons.store.records import idempotency
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write.units import Unit, rewrite, write

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
"""Failures of a call, the first while others are stored, after which it counts as refused for good.

Once is not enough, because an outage may have ended between the failing call and the next.
"""

type Write = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class StoreResult:
    """The result of storing units: the row ids of stored ones, and the errors of refused ones, by uuid."""

    ids: dict[str, int] = field(default_factory=dict)
    refused: dict[str, Exception] = field(default_factory=dict)


class Attempts:
    """Transactions on a store that may be unavailable; `before` is called before each one that stores calls."""

    def __init__(self, engine: Engine, before: Callable[[], None]) -> None:
        self.engine = engine
        self.outage = Outage()
        self._before = before
        self._rounds: dict[str, int] = {}

    def run(self, work: Write) -> bool:
        """Run `work` in one transaction; return False if the store is unavailable. Raises any other error."""
        try:
            with writing(self.engine) as connection:
                work(connection)
        except Exception as error:
            if not is_store_failure(error):
                raise
            self.outage.report(error)
            return False
        self.outage.over()
        return True

    def store(self, units: Sequence[Unit], run: Values, first: Write, *, again: bool) -> StoreResult:
        """Store units of a run in one transaction that begins with `first`; if that fails, one by one.

        `again` means that any of them may be stored already. Units that are neither stored nor refused in the result
        have to be retried later.
        """
        if not self._prepared():
            return StoreResult()
        refusal: Exception | None = None
        # The second attempt rewrites: another proxy may have considered this one dead and finished its rows.
        for rewriting in (True,) if again else (False, True):
            try:
                return self._at_once(units, run if rewriting else None, first)
            except Exception as error:  # noqa: BLE001 - the calls of the batch must get their rows in any case
                refusal = error
        if self.outage.words is None:
            logger.warning("store: a batch was refused (%s), storing its calls one by one", type(refusal).__name__)
        return self._one_by_one(units, run, first)

    def try_to(self, work: Write) -> None:
        """Run `work` in one transaction if possible; any error counts as an outage."""
        try:
            self.run(work)
        except Exception as error:  # noqa: BLE001 - errors here do not concern any call
            self.outage.report(error)

    def _prepared(self) -> bool:
        try:
            self._before()
        except Exception as error:  # noqa: BLE001 - any error means that there is no store to write to
            self.outage.report(error)
            return False
        return True

    def _at_once(self, units: Sequence[Unit], run: Values | None, first: Write) -> StoreResult:
        """Store units in one transaction; with a `run`, rewrite them and the run if they exist."""
        ids: dict[str, int] = {}

        def work(connection: Connection) -> None:
            if run is not None:
                idempotency.ensure_run(connection, run)
            first(connection)
            ids.update((write if run is None else rewrite)(connection, units))

        return StoreResult(ids) if self.run(work) else StoreResult()

    def _one_by_one(self, units: Sequence[Unit], run: Values, first: Write) -> StoreResult:
        ids: dict[str, int] = {}
        failed: dict[str, Exception] = {}
        for unit in units:
            try:
                found = self._at_once([unit], run, first).ids
            except Exception as error:  # noqa: BLE001 - one refused call must not affect the others
                failed[unit.uuid] = error
            else:
                if not found:
                    return StoreResult(ids)
                ids |= found
        return StoreResult(ids, self._refused(ids, failed))

    def _refused(self, ids: Container[str], failed: dict[str, Exception]) -> dict[str, Exception]:
        """Return the failed calls that are refused for good; `ids` are the calls that were stored."""
        refused = {uuid: error for uuid, error in failed.items() if is_refusal(error)}
        doubtful = {uuid: error for uuid, error in failed.items() if uuid not in refused}
        if doubtful and not ids and self._rounds.keys().isdisjoint(doubtful):  # the store accepts no call at all
            self.outage.report(next(iter(doubtful.values())))
            return refused
        rounds = {uuid: self._rounds.get(uuid, 0) + 1 for uuid in doubtful}
        self._rounds = {uuid: count for uuid, count in rounds.items() if count < MAX_FAILURES}
        return refused | {uuid: error for uuid, error in doubtful.items() if uuid not in self._rounds}

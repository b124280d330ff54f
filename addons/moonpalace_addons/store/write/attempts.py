"""Write to the store as far as it lets us: all at once, else call by call, and know whose fault a failure is."""

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

ROUNDS = 3
"""Times that a call must fail, the first time while others are taken, before it counts as refused for ever.

Once is not enough: what the store suffered from may have been over between the one and the other.
"""

type Write = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of units: the ids of those that are stored, and those that are refused for ever, by uuid."""

    ids: dict[str, int] = field(default_factory=dict)
    refused: dict[str, Exception] = field(default_factory=dict)


class Attempts:
    """Transactions on a store that may be in trouble; `before` is called ahead of each that stores calls."""

    def __init__(self, engine: Engine, before: Callable[[], None]) -> None:
        self.engine = engine
        self.outage = Outage()
        self._before = before
        self._rounds: dict[str, int] = {}

    def run(self, work: Write) -> bool:
        """Do something in one transaction; return False if the store is in trouble. Raises what is not for that."""
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

    def store(self, units: Sequence[Unit], run: Values, first: Write, *, again: bool) -> Taken:
        """Store units of a run in one transaction that begins with `first`; if the database refuses, one by one.

        `again` says that any of them may be stored already. Those that are neither stored nor refused in what is
        returned are to be tried again later.
        """
        if not self._prepared():
            return Taken()
        refusal: Exception | None = None
        # A second time with care: another proxy may have taken this one for dead and finished its rows.
        for careful in (True,) if again else (False, True):
            try:
                return self._at_once(units, run if careful else None, first)
            except Exception as error:  # noqa: BLE001 - whatever it is, the calls of the batch must get their rows
                refusal = error
        if self.outage.words is None:
            logger.warning("store: a batch is refused (%s), storing its calls one by one", type(refusal).__name__)
        return self._one_by_one(units, run, first)

    def try_to(self, work: Write) -> None:
        """Do something in one transaction if the store lets us; whatever keeps it from that is its trouble."""
        try:
            self.run(work)
        except Exception as error:  # noqa: BLE001 - what raises here is not about any call
            self.outage.report(error)

    def _prepared(self) -> bool:
        try:
            self._before()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no store to write to
            self.outage.report(error)
            return False
        return True

    def _at_once(self, units: Sequence[Unit], run: Values | None, first: Write) -> Taken:
        """Store units in one transaction; with a `run`, whatever is there of them and of it."""
        ids: dict[str, int] = {}

        def work(connection: Connection) -> None:
            if run is not None:
                idempotency.ensure_run(connection, run)
            first(connection)
            ids.update((write if run is None else rewrite)(connection, units))

        return Taken(ids) if self.run(work) else Taken()

    def _one_by_one(self, units: Sequence[Unit], run: Values, first: Write) -> Taken:
        ids: dict[str, int] = {}
        failed: dict[str, Exception] = {}
        for unit in units:
            try:
                found = self._at_once([unit], run, first).ids
            except Exception as error:  # noqa: BLE001 - one call that is refused must not take the others with it
                failed[unit.uuid] = error
            else:
                if not found:
                    return Taken(ids)
                ids |= found
        return Taken(ids, self._judged(ids, failed))

    def _judged(self, ids: Container[str], failed: dict[str, Exception]) -> dict[str, Exception]:
        """Return those of the calls that failed which are refused for ever; `ids` has those that were taken."""
        refused = {uuid: error for uuid, error in failed.items() if is_refusal(error)}
        doubtful = {uuid: error for uuid, error in failed.items() if uuid not in refused}
        if doubtful and not ids and self._rounds.keys().isdisjoint(doubtful):  # it takes no call at all
            self.outage.report(next(iter(doubtful.values())))
            return refused
        rounds = {uuid: self._rounds.get(uuid, 0) + 1 for uuid in doubtful}
        self._rounds = {uuid: count for uuid, count in rounds.items() if count < ROUNDS}
        return refused | {uuid: error for uuid, error in doubtful.items() if uuid not in self._rounds}

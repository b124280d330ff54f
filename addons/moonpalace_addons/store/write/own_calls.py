"""Store calls that MoonPalace makes for itself, in the way of all others: decoded, masked, merged, timed and priced."""

from collections.abc import Sequence

from sqlalchemy import Connection

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records import identity, runs
from moonpalace_addons.store.records.clock import database_now
from moonpalace_addons.store.tasks import Task
from moonpalace_addons.store.write.batch import Batch
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.store.write.units import Unit, write


def to_unit(connection: Connection, tasks: Sequence[Task], purpose: str, pricing: Pricing) -> Unit:
    """Return the unit of a call that is over, from its tasks; raise StoreError for a fault of ours."""
    batch = Batch(new_run()["id"], identity.fingerprint_key(connection), pricing)  # type: ignore[arg-type]
    batch.plan(tasks, keep=False)
    for unit in batch.units.values():
        if unit.is_over:
            unit.columns["purpose"] = purpose
            return unit
    raise StoreError("the call cannot be stored because of a fault in MoonPalace")


def store(connection: Connection, unit: Unit) -> int:
    """Store the unit with a run of its own, which is over; return the id of its row."""
    runs.begin_run(connection, new_run() | {"id": unit.columns["run_id"], "ended_at": database_now()})
    return write(connection, [unit])[unit.uuid]

"""Calls for a journal, and a store to read them into."""

from collections.abc import Sequence

from moonpalace_addons.store.journal.overflow import Overflow
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.pace import Pace
from moonpalace_addons.store.write.units import Unit

RUN_ID = "0a6f27a4-1c1c-4b02-9e5c-6a0e7b0c0001"
RUN: Values = {"id": RUN_ID, "host": "here", "pid": 7, "version": "1"}
COLUMNS: Values = derive.EMPTY | {"run_id": RUN_ID, "state": "completed"}
UNITS = [
    Unit(str(number), COLUMNS | {"uuid": str(number)}, is_over=True, response_body=b"x" * 50) for number in range(5)
]


class Store:
    """A store that accepts everything, or nothing; and never the calls in `refuses`."""

    def __init__(self) -> None:
        self.works = True
        self.refuses: list[str] = []
        self.got: list[tuple[str, str]] = []

    def __call__(self, units: Sequence[Unit], run: Values) -> list[str] | None:
        """Take units."""
        taken = [unit.uuid for unit in units if unit.uuid not in self.refuses]
        self.got += [(str(run["id"]), uuid) for uuid in taken] if self.works else []
        return [unit.uuid for unit in units if unit.uuid in self.refuses] if self.works else None


def drain(kept: Overflow, store: Store) -> None:
    while (source := kept.source()) and kept.take(source, store, Pace()):
        pass

"""How far a writer is behind."""

from dataclasses import dataclass
from pathlib import Path

from moonpalace_addons.store.write.writer import Writer


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far the writer is behind.

    `tasks` are those that it has not looked at, `calls` those that wait in memory and take about `memory` bytes,
    `journals` the files that are still to be taken in; `outage` says why, if something keeps them waiting.
    """

    tasks: int
    calls: int
    memory: int
    journals: tuple[Path, ...]
    outage: str | None


def backlog(writer: Writer) -> Backlog:
    """Return what waits, and why if something keeps it waiting."""
    return Backlog(len(writer._tasks), writer._batch.planned, writer._memory.now, writer._overflow.paths, writer.outage)

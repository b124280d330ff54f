"""The writer's backlog."""

from dataclasses import dataclass
from pathlib import Path

from moonpalace_addons.store.write.writer import Writer


@dataclass(frozen=True, slots=True)
class Backlog:
    """The writer's backlog.

    `tasks` are those it has not processed, `calls` wait in memory and take about `memory` bytes, `journals` are the
    files still to be read in; `outage` says why, if something delays them.
    """

    tasks: int
    calls: int
    memory: int
    journals: tuple[Path, ...]
    outage: str | None


def backlog(writer: Writer) -> Backlog:
    """Return the backlog, and the reason if something delays it."""
    return Backlog(len(writer._tasks), writer._batch.planned, writer._memory.now, writer._overflow.paths, writer.outage)

"""Write calls to this run's journal, and read journals back into the store, also those of dead proxies."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moonpalace_addons.store.journal.journal_file import Journal, why
from moonpalace_addons.store.journal.journal_place import Place
from moonpalace_addons.store.journal.unit_bytes import checked, pack, unpack
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write.pace import Pace
from moonpalace_addons.store.write.units import Unit, merged

logger = logging.getLogger(__name__)

WRITE_SIZE = 8_000_000
"""Approximate bytes per write to a journal."""


type Store = Callable[[Sequence[Unit], Values], Sequence[str] | None]
"""Store units of a run; return the calls that the store refuses for good, None if some have to be retried."""


@dataclass(slots=True)
class Source:
    """A journal that is being read into the store.

    `calls` is the number of calls stored up to their ends, `unread` that of unreadable bytes, `refused` that of calls
    which the store refused.
    """

    journal: Journal
    is_own: bool
    calls: int = 0
    unread: int = 0
    refused: int = 0

    def missing(self) -> list[str]:
        """Describe the contents that could not be stored, once there is nothing more to read; empty if all could."""
        unread = self.unread + self.journal.waiting
        return [
            *([f"{unread} bytes of it cannot be read"] if unread else []),
            *([f"the database refuses {self.refused} of its calls"] if self.refused else []),
        ]


@dataclass(frozen=True, slots=True)
class Portion:
    """Units of a journal, one per call, the end offset of the last one and the number of unreadable bytes before it."""

    units: list[Unit]
    end: int
    unread: int


class Overflow:
    """Journals of this run and of dead proxies."""

    def __init__(self, place: Place | None, run: Values) -> None:
        self._place = place
        self._run = run
        self._own: Source | None = None
        self._left: list[Source] = []
        self._failed = False
        self._done: set[Path] = set()
        """Journals that are not examined again."""
        self._too_large: set[str] = set()

    @property
    def own(self) -> Path | None:
        """Return this run's journal, None if it is empty."""
        return self._own.journal.path if self._own else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the journals that are being read into the store."""
        return tuple(source.journal.path for source in (self._own, *self._left) if source is not None)

    def add(self, units: Sequence[Unit]) -> list[Unit]:
        """Append units to the journal; return those that were written, fewer if writing fails."""
        added: list[Unit] = []
        for piece in groups(units):
            packed = [(unit, content) for unit in piece if (content := self._packed(unit)) is not None]
            if not packed:
                continue
            try:
                self._journal().add([content for _, content in packed])
            except OSError as error:
                if not self._failed:
                    logger.warning("store: the journal cannot be written (%s); rows wait in memory", error)
                self._failed = True
                return added
            added += [unit for unit, _ in packed]
        self._failed = False
        return added

    def _packed(self, unit: Unit) -> bytes | None:
        """Return a packed unit; None if it is too large for a journal and stays in memory."""
        try:
            return pack(unit)
        except OverflowError as error:
            if unit.uuid not in self._too_large:
                logger.warning("store: call %s waits in memory: %s", unit.uuid, error)
            self._too_large.add(unit.uuid)
            return None

    def _journal(self) -> Journal:
        if self._own is None:
            if self._place is None:
                raise OSError("this database has no journal")
            self._own = Source(Journal.create(self._place.free_path(str(self._run["id"])), self._run), is_own=True)
            logger.warning("store: rows wait in the journal %s", self._own.journal.path)
        return self._own.journal

    def claim_abandoned(self) -> None:
        """Claim journals that dead proxies left."""
        for path in self._place.paths() if self._place else ():
            if path in self.paths or path in self._done:
                continue
            try:
                journal = Journal.claim(path)
            except (OSError, ValueError) as error:
                logger.warning("store: the journal %s is not read: %s", path, why(error))
                self._done.add(path)
            else:
                self._left += [Source(journal, is_own=False)] if journal else []

    def source(self) -> Source | None:
        """Return the journal to read next, this run's first; None if there is none."""
        return self._own or (self._left[0] if self._left else None)

    def keep(self, units: Sequence[Unit]) -> Path | None:
        """Write units to a separate file that no proxy reads; return its path, None if that fails."""
        try:
            if self._place is None:
                return None
            journal = Journal.create(self._place.free_path(str(self._run["id"])), self._run)
            try:
                journal.add([pack(unit) for unit in units])
            finally:
                kept = journal.keep()
        except Exception as error:  # noqa: BLE001 - the fault for which they were refused may occur here too
            logger.warning("store: calls that are refused cannot be kept: %s", error)
            return None
        return kept

    def take(self, source: Source, store: Store, pace: Pace) -> bool:
        """Store the next units of a journal, and delete it once all are stored; return False if storing failed."""
        try:
            portion = next_portion(source.journal, pace)
        except OSError as error:
            self._finish(source, [f"it cannot be read any further: {why(error)}"])
            return True
        if portion.end == source.journal.taken:
            self._finish(source, source.missing())
            return True
        refused = store(portion.units, source.journal.run) if portion.units else ()
        if refused is None:
            return False
        source.journal.done(portion.end)
        source.calls += sum(unit.is_over and unit.uuid not in refused for unit in portion.units)
        source.unread += portion.unread
        source.refused += len(refused)
        if not source.journal.waiting:
            self._finish(source, source.missing())
        return True

    def _finish(self, source: Source, missing: Sequence[str]) -> None:
        """Delete a journal if everything in it has been stored, else keep it under another name; log the result."""
        if source.is_own:
            self._own = None
        else:
            self._left.remove(source)
        message = "; ".join([f"store: {source.calls} calls stored from the journal {source.journal.path}", *missing])
        try:
            if missing:
                logger.error("%s; it is kept as %s", message, source.journal.keep())
            else:
                source.journal.delete()
                logger.warning("%s", message)
        except OSError as error:
            self._done.add(source.journal.path)
            source.journal.close()
            logger.warning("%s; it is kept, and the next start reads it again: %s", message, why(error))

    def close(self) -> None:
        """Close the journals; the next start reads them."""
        for journal in self._left:
            logger.warning("store: the journal %s waits for the next start", journal.journal.path)
        for source in (self._own, *self._left):
            if source is not None:
                source.journal.close()
        self._left.clear()


def groups(units: Sequence[Unit]) -> list[list[Unit]]:
    """Split units into groups of about `WRITE_SIZE` bytes."""
    cut: list[list[Unit]] = []
    room = 0
    for unit in units:
        if room <= 0:
            cut.append([])
            room = WRITE_SIZE
        cut[-1].append(unit)
        room -= unit.size
    return cut


def next_portion(journal: Journal, pace: Pace) -> Portion:
    """Return the next units of a journal: at least one frame."""
    units, unread, end, remaining = list[Unit](), 0, journal.taken, pace.weight
    for count, (content, stop) in enumerate(journal.frames(), start=1):
        begin, end = end, stop
        try:
            units.append(checked(unpack(content or b"")))
        except ValueError:
            unread += stop - begin
        else:
            remaining -= units[-1].weight
        if remaining <= 0 or count >= pace.calls:
            break
    return Portion(merged(units), end, unread)

"""The journals that a writer has to do with: its own, and those that dead proxies left."""

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

PIECE = 8_000_000
"""Bytes, about, that are written to a journal at a time."""


type Store = Callable[[Sequence[Unit], Values], Sequence[str] | None]
"""Stores units of a run; returns the calls that the store refuses for ever, None if some are to be tried again."""


@dataclass(slots=True)
class Source:
    """A journal that is being taken in.

    `calls` of it are stored to their ends; `unread` bytes of it could not be read, `refused` calls the store does not
    take.
    """

    journal: Journal
    is_own: bool
    calls: int = 0
    unread: int = 0
    refused: int = 0

    def missing(self) -> list[str]:
        """Return in words what of it is not stored, once there is nothing more to be read; empty if all is."""
        # Whether a crash cut the last record, or its length is damaged and more records follow, nobody can tell.
        unread = self.unread + self.journal.waiting
        return [
            *([f"{unread} bytes of it cannot be read"] if unread else []),
            *([f"the database refuses {self.refused} of its calls"] if self.refused else []),
        ]


@dataclass(frozen=True, slots=True)
class Portion:
    """Units of a journal, one for each call, where the last one ends, and how many bytes before it are not readable."""

    units: list[Unit]
    end: int
    unread: int


class Overflow:
    """Put units into this run's journal, and give back what is in it and in those of dead proxies."""

    def __init__(self, place: Place | None, run: Values) -> None:
        self._place = place
        self._run = run
        self._own: Source | None = None
        self._left: list[Source] = []
        self._failed = False
        self._done: set[Path] = set()
        """Journals that are not to be looked at again."""
        self._too_large: set[str] = set()

    @property
    def own(self) -> Path | None:
        """Return this run's journal, None if nothing is in it."""
        return self._own.journal.path if self._own else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the journals that are being taken in."""
        return tuple(source.journal.path for source in (self._own, *self._left) if source is not None)

    def add(self, units: Sequence[Unit]) -> list[Unit]:
        """Put units into the journal; return those that are in it, fewer if it cannot be written any further."""
        added: list[Unit] = []
        for piece in pieces(units):
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
        """Return a unit as bytes; None if it is too large for a journal and stays in memory."""
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
                raise OSError("this database has none")
            self._own = Source(Journal.create(self._place.free_path(str(self._run["id"])), self._run), is_own=True)
            logger.warning("store: rows wait in the journal %s", self._own.journal.path)
        return self._own.journal

    def look(self) -> None:
        """Claim the journals that dead proxies left."""
        for path in self._place.paths() if self._place else ():
            if path in self.paths or path in self._done:
                continue
            try:
                journal = Journal.claim(path)
            except (OSError, ValueError) as error:
                logger.warning("store: the journal %s is not taken in: %s", path, why(error))
                self._done.add(path)
            else:
                self._left += [Source(journal, is_own=False)] if journal else []

    def source(self) -> Source | None:
        """Return the journal that is to be taken in next, this run's first; None if there is none."""
        return self._own or (self._left[0] if self._left else None)

    def keep(self, units: Sequence[Unit]) -> Path | None:
        """Put units into a file of their own that nobody takes in; return it, None if that cannot be done."""
        try:
            if self._place is None:
                return None
            journal = Journal.create(self._place.free_path(str(self._run["id"])), self._run)
            try:
                journal.add([pack(unit) for unit in units])
            finally:
                kept = journal.keep()
        except Exception as error:  # noqa: BLE001 - the fault that they are refused for may be in the way here too
            logger.warning("store: calls that are refused cannot be kept: %s", error)
            return None
        return kept

    def take(self, source: Source, store: Store, pace: Pace) -> bool:
        """Have the next units of a journal stored, and delete it when there are none; return False if that failed."""
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
        source.calls += sum(unit.ending is not None and unit.uuid not in refused for unit in portion.units)
        source.unread += portion.unread
        source.refused += len(refused)
        return True

    def _finish(self, source: Source, missing: Sequence[str]) -> None:
        """Be done with a journal: delete it if nothing of it is missing in the store, else keep it; say so."""
        if source.is_own:
            self._own = None
        else:
            self._left.remove(source)
        said = "; ".join([f"store: {source.calls} calls taken in from the journal {source.journal.path}", *missing])
        try:
            if missing:
                logger.error("%s; it is kept as %s", said, source.journal.keep())
            else:
                source.journal.delete()
                logger.warning("%s", said)
        except OSError as error:
            self._done.add(source.journal.path)
            source.journal.close()
            logger.warning("%s; it stays, the next start takes it in again: %s", said, why(error))

    def close(self) -> None:
        """Leave the journals to the next start."""
        for source in (self._own, *self._left):
            if source is not None:
                source.journal.close()
        self._left.clear()


def pieces(units: Sequence[Unit]) -> list[list[Unit]]:
    """Cut units into pieces of about `PIECE` bytes."""
    cut: list[list[Unit]] = []
    room = 0
    for unit in units:
        if room <= 0:
            cut.append([])
            room = PIECE
        cut[-1].append(unit)
        room -= unit.weight
    return cut


def next_portion(journal: Journal, pace: Pace) -> Portion:
    """Return what is next in a journal: at least one frame."""
    units, unread, end, left = list[Unit](), 0, journal.taken, pace.weight
    for count, (content, stop) in enumerate(journal.frames(), start=1):
        begin, end = end, stop
        try:
            units.append(checked(unpack(content or b"")))
        except ValueError:
            unread += stop - begin
        else:
            left -= units[-1].weight
        if left <= 0 or count >= pace.calls:
            break
    return Portion(merged(units), end, unread)

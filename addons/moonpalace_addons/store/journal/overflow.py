"""The journals that a writer has to do with: its own, and those that dead proxies left."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moonpalace_addons.store.journal.journal_file import Journal, Place
from moonpalace_addons.store.journal.unit_bytes import pack, unpack
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.units import Unit, merged

logger = logging.getLogger(__name__)

PIECE = 8_000_000
"""Bytes, about, that are written to a journal or taken from it at a time."""


@dataclass(slots=True)
class Source:
    """A journal that is being taken in, and how many calls have come out of it."""

    journal: Journal
    is_own: bool
    calls: int = 0


class Overflow:
    """Put units into this run's journal, and give back what is in it and in those of dead proxies."""

    def __init__(self, place: Place | None, run: Values) -> None:
        self._place = place
        self._run = run
        self._own: Source | None = None
        self._left: list[Source] = []
        self._failed = False
        self._unreadable: set[Path] = set()

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
            try:
                self._journal().add([pack(unit) for unit in piece])
            except OSError as error:
                if not self._failed:
                    logger.warning("store: the journal cannot be written (%s); rows wait in memory", error)
                self._failed = True
                return added
            added += piece
        self._failed = False
        return added

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
            if path in self.paths or path in self._unreadable:
                continue
            try:
                journal = Journal.claim(path)
            except (OSError, ValueError) as error:
                logger.warning("store: the journal %s is left as it is: %s", path, error)
                self._unreadable.add(path)
            else:
                self._left += [Source(journal, is_own=False)] if journal else []

    def source(self) -> Source | None:
        """Return the journal that is to be taken in next, this run's first; None if there is none."""
        return self._own or (self._left[0] if self._left else None)

    def take(self, source: Source, store: Callable[[Sequence[Unit], Values], bool]) -> bool:
        """Have the next units of a journal stored, and delete it when there are none; return False if that failed.

        `store` gets units and the run that they are of, and says whether it is done with them.
        """
        piece = source.journal.next(PIECE)
        if not piece.contents:
            self._finish(source, piece.torn)
            return True
        units = unpacked(piece.contents, source.journal.path)
        if not store(units, source.journal.run):
            return False
        source.journal.done(piece.end)
        source.calls += sum(unit.ending is not None for unit in units)
        return True

    def _finish(self, source: Source, torn: int) -> None:
        if torn:
            logger.warning("store: the last %d bytes of %s had not been written whole", torn, source.journal.path)
        logger.warning("store: %d calls taken in from the journal %s", source.calls, source.journal.path)
        if source.is_own:
            self._own = None
        else:
            self._left.remove(source)
        source.journal.delete()

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


def unpacked(contents: Sequence[bytes], path: Path) -> list[Unit]:
    """Return the units in frames, one for each call."""
    units: list[Unit] = []
    for content in contents:
        try:
            units.append(unpack(content))
        except ValueError:
            logger.exception("store: a call in the journal %s cannot be read", path)
    return merged(units)

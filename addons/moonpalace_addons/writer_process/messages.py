"""What the proxy and the process that writes say to each other: pickles, one after the other, on a pipe each way.

After the opening the proxy sends lists of tasks; what comes back are lists of the reports below and of log records.
Pickles are safe there: the pipes have nobody else at their ends, and both ends are the same version of this program.
"""

import pickle
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.tasks import Chunks

PROTOCOL = 5

CAPACITY = 1_000
"""Records of the log that wait at each end at most: a terminal that is stopped takes none."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first thing that the proxy says: which store, and how it is to be kept.

    `database` may hold a password; `home` is the folder for the journals of a store that is no file, `run` the row of
    the proxy's run. `key`, that of the store's fingerprints, is what an earlier process has found in the store: with it
    a process starts though the store cannot be opened at present.
    """

    database: str = field(repr=False)
    home: Path
    run: Values
    retention_days: int | None
    max_size: int | None
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Stop:
    """Say that nothing follows, and that the proxy waits for all to be stored; before it come lists of tasks."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer that the store is open, or will be waited for; `key` is that of its fingerprints."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer in one line why the store cannot be used."""

    words: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Say which calls are over and safe, in the store or in a file, or lost for good: the proxy may forget them.

    `lost` is how many have been lost so far.
    """

    uuids: Sequence[str]
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Stopped:
    """Say that this is the end, and how many of the calls that were settled are lost."""

    lost: int


def packed(waiting: Iterable[tuple[str, deque[tuple[int, bytes]]]]) -> Chunks | None:
    """Take out what waits of the answers of calls, None if nothing does; whoever appends meanwhile is not disturbed."""
    uuids, counts, times, pieces = list[str](), array("q"), array("q"), list[bytes]()
    for uuid, chunks in waiting:
        if count := len(chunks):
            uuids.append(uuid)
            counts.append(count)
            for _ in range(count):
                at, data = chunks.popleft()
                times.append(at)
                pieces.append(data)
    return Chunks(uuids, counts, times, array("q", map(len, pieces)), b"".join(pieces)) if uuids else None


def write(stream: IO[bytes], message: object) -> None:
    """Write a message; raises OSError if nobody reads any more."""
    pickle.dump(message, stream, PROTOCOL)
    stream.flush()


def read(stream: IO[bytes]) -> Iterator[object]:
    """Iterate over the messages until the other end is closed, or was killed in the midst of one."""
    while True:
        try:
            message = pickle.load(stream)  # noqa: S301 - see above
        except (EOFError, pickle.UnpicklingError):
            return
        yield message

"""Messages between the proxy and the writer's process: a sequence of pickles on one pipe in each direction.

After `Opening` the proxy sends tasks, most of them as MessagePack in a pickle; the writer's process sends lists of its
messages and log records. Pickles are safe here, because no other process has the pipes, and both ends are the same
version of this program.
"""

import pickle
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, cast

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store import tasks
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, Task

PROTOCOL = 5

MAX_COPIED_SIZE = 250_000
"""Bytes of bodies in a message up to which they are copied into MessagePack; pickles are written without a copy."""

TASK_WEIGHT = 2_000
"""Approximate bytes of a task besides bodies."""

MAX_QUEUED_RECORDS = 1_000
"""Log records queued at each end; more are dropped, as a stopped terminal reads none."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The proxy's first message: its settings, and the row of its run.

    `key`, the key of the store's fingerprints, was read by an earlier process: with it a process starts although the
    store cannot be opened at present. `log_width` is the width of lines of the log, None if they are not cut. With
    `rows` a `RowLine` is sent when a row is first written and when its call has ended. A rule that is new
    to the store sees the calls that began after `since`, in microseconds since the epoch.
    """

    settings: Settings
    run: Values
    key: bytes | None = field(default=None, repr=False)
    log_width: int | None = None
    rows: bool = False
    since: int = 0


@dataclass(frozen=True, slots=True)
class RowLine:
    """A call as its row describes it: one line of text, its style, its price, and its warnings."""

    uuid: str
    row_id: int
    text: str
    style: str
    is_running: bool
    price: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """The proxy's last message, after which it waits until everything is stored."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The store is open, or will be retried; `key` is the key of its fingerprints."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The store cannot be used; `reason` is the reason in one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Ended calls that are safe, in the store or in a file, or lost for good; the proxy may forget them.

    `lost` is the total number of lost calls so far.
    """

    uuids: Sequence[str]
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Stopped:
    """The writer's last message, with the number of confirmed calls that are lost."""

    lost: int


def packed(waiting: Iterable[tuple[str, deque[tuple[int, bytes]]]], limit: int) -> Chunks | None:
    """Pop waiting chunks of calls, None if there are none; other threads may append meanwhile.

    It stops after the chunk that exceeds `limit` bytes.
    """
    uuids, counts, times, pieces = list[str](), array("q"), array("q"), list[bytes]()
    for uuid, chunks in waiting:
        if limit > 0 and (queued := len(chunks)):
            count = 0
            while count < queued and limit > 0:
                at, data = chunks.popleft()
                times.append(at)
                pieces.append(data)
                count += 1
                limit -= len(data)
            uuids.append(uuid)
            counts.append(count)
    return Chunks(uuids, counts, times, array("q", map(len, pieces)), b"".join(pieces)) if uuids else None


def tasks_to_send(batch: Sequence[Task]) -> bytes | Sequence[Task]:
    """Return tasks as MessagePack; unchanged if bodies are so large that copying costs, or a value has no encoding."""
    try:
        return batch if sum(map(body_size, batch)) > MAX_COPIED_SIZE else tasks.dump(batch)
    except (ValueError, TypeError, OverflowError):  # such as surrogates, or a status beyond 64 bits
        return batch  # a pickle takes any value


def body_size(task: Task) -> int:
    """Return how many bytes of bodies a task has."""
    match task:
        case RequestRead():
            return len(task.body)
        case Chunks():
            return len(task.data)
        case ExchangeEnded() if task.response is not None:
            return sum(len(data) for _, data in task.response.chunks)
    return 0


def size_of(task: Task) -> int:
    """Return the approximate size of a task in bytes."""
    return TASK_WEIGHT + body_size(task)


def received_tasks(message: object) -> Sequence[Task]:
    """Return the tasks of a message that `tasks_to_send` has made."""
    return tasks.load(message) if isinstance(message, bytes) else cast(Sequence[Task], message)


def write(stream: IO[bytes], message: object) -> None:
    """Write a message; raises OSError if the reader has closed the pipe."""
    pickle.dump(message, stream, PROTOCOL)
    stream.flush()


def read(stream: IO[bytes]) -> Iterator[object]:
    """Yield the messages until the other end closes the pipe or is killed while writing one."""
    while True:
        try:
            message = pickle.load(stream)  # noqa: S301 - see above
        except (EOFError, pickle.UnpicklingError):
            return
        yield message

"""Queue messages if calls arrive faster than the writer stores them: up to a limit in memory, and then on disk.

The files are unnamed and encrypted with a key that exists only in this process's memory.

The writer's journal cannot replace the spool. A journal contains masked calls, and masking requires the parsing that
the writer has not caught up with, or for which no process is running. Spooled messages contain keys in clear text, so
they must be encrypted and disappear with the proxy, while a journal is kept for the next start.
"""

import pickle
import secrets
import tempfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from moonpalace_addons.store.journal.framing import read_at, write_at
from moonpalace_addons.store.tasks import Chunks, RequestRead, Task
from moonpalace_addons.writer_process.messages import size_of

MAX_MEMORY_SIZE = 32_000_000
"""Approximate bytes of messages that wait in memory; the next ones are written to disk, which costs more time."""

MAX_FILE_SIZE = 64_000_000
"""Size above which a new file is started; the space of consumed messages is freed with their file."""


class DamagedError(Exception):
    """A message that cannot be read back; `calls` is the number of affected calls."""

    def __init__(self, calls: int, why: str) -> None:
        super().__init__(why)
        self.calls = calls


@dataclass(frozen=True, slots=True)
class Place:
    """The location and nonce of a message, with the number of its calls and of its requests."""

    file: IO[bytes]
    offset: int
    length: int
    nonce: bytes
    calls: int
    requests: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in memory, with its approximate size in bytes."""

    message: list[Task]
    size: int


class Spool:
    """A first-in, first-out queue; messages that do not fit into memory are on disk, unless that takes none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cipher = AESGCM(secrets.token_bytes(32))
        self._waiting = deque[Place | Kept]()
        self._kept_size = 0
        self._files = deque[IO[bytes]]()
        self._end = 0
        self._count = 0

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._waiting)

    @property
    def requests(self) -> int:
        """Return the number of requests in the spool: calls that are lost if it is closed."""
        return sum(each.requests if isinstance(each, Place) else requests_in(each.message) for each in self._waiting)

    def put(self, message: list[Task]) -> None:
        """Append a message."""
        size = sum(map(size_of, message))
        if self._kept_size + size <= MAX_MEMORY_SIZE:
            self._keep(message, size)
            return
        try:
            self._waiting.append(self._written(message))
        except OSError:
            self._keep(message, size)

    def take(self) -> list[Task]:
        """Remove and return the oldest message; raises DamagedError if it cannot be read back."""
        found = self._waiting.popleft()
        try:
            return self._taken(found)
        finally:
            if not self._waiting:
                self.close()

    def close(self) -> None:
        """Discard all messages."""
        self._waiting.clear()
        self._kept_size = 0
        while self._files:
            self._files.pop().close()

    def _keep(self, message: list[Task], size: int) -> None:
        self._waiting.append(Kept(message, size))
        self._kept_size += size

    def _taken(self, found: Place | Kept) -> list[Task]:
        if isinstance(found, Kept):
            self._kept_size -= found.size
            return found.message
        while self._files[0] is not found.file:
            self._files.popleft().close()
        try:
            return self._read(found)
        except OSError as error:
            raise DamagedError(found.calls, error.strerror or str(error)) from error
        except InvalidTag as error:
            raise DamagedError(found.calls, "its bytes have changed") from error

    def _read(self, place: Place) -> list[Task]:
        data = read_at(place.file, place.offset, place.length)
        if len(data) < place.length:
            raise OSError("the file has become shorter")
        message: list[Task] = pickle.loads(self._cipher.decrypt(place.nonce, data, None))  # noqa: S301 - our own
        return message

    def _written(self, message: list[Task]) -> Place:
        plain = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if not self._files or self._end >= MAX_FILE_SIZE:
            folder = self._folder if self._folder.is_dir() else None
            file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - closed with its last message
            self._files.append(file)
            self._end = 0
        self._count += 1
        nonce = self._count.to_bytes(12, "little")
        data = self._cipher.encrypt(nonce, plain, None)
        write_at(self._files[-1], self._end, data)
        begin, self._end = self._end, self._end + len(data)
        return Place(self._files[-1], begin, len(data), nonce, calls_in(message), requests_in(message))


def calls_in(message: Iterable[Task]) -> int:
    """Return the number of calls that a message concerns."""
    return len({uuid for task in message for uuid in (task.uuids if isinstance(task, Chunks) else (task.uuid,))})


def requests_in(message: Iterable[Task]) -> int:
    """Return the number of requests in a message."""
    return sum(isinstance(task, RequestRead) for task in message)

"""What is to be said later, on the disk: where more comes than the writer can take, memory stays within its bound.

Nobody else can read it: it is encrypted with a key that is only in this process's memory, in files without a name.

The writer's journal cannot take its place: a journal holds masked calls, and masking one takes the reading that the
writer has not caught up with, or for which no process runs at the moment. What is written before that holds keys in
clear, so it must be encrypted and end with the proxy, while a journal is there for the next start.
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

FILE_SIZE = 64_000_000
"""Bytes from which on another file is begun: what has been taken out of one gives its room back with it."""


class DamagedError(Exception):
    """A message that the disk does not give back as it was; `calls` is how many calls it is about."""

    def __init__(self, calls: int, why: str) -> None:
        super().__init__(why)
        self.calls = calls


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is, and with which number it was encrypted.

    It is about so many calls, and has the requests of some of them.
    """

    file: IO[bytes]
    offset: int
    length: int
    nonce: bytes
    calls: int
    requests: int


class Spool:
    """Messages that come out in the order in which they were put in; what no disk takes stays in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cipher = AESGCM(secrets.token_bytes(32))
        self._waiting = deque[Place | list[Task]]()
        self._files = deque[IO[bytes]]()
        self._end = 0
        self._count = 0

    def __len__(self) -> int:
        """Return how many messages there are."""
        return len(self._waiting)

    @property
    def requests(self) -> int:
        """Return how many calls have their request in what waits: who lets go of it loses these."""
        return sum(each.requests if isinstance(each, Place) else requests_in(each) for each in self._waiting)

    def put(self, message: list[Task]) -> None:
        """Put a message in."""
        try:
            self._waiting.append(self._written(message))
        except OSError:
            self._waiting.append(message)

    def take(self) -> list[Task]:
        """Take the oldest message out; raises DamagedError if the disk does not give it back."""
        found = self._waiting.popleft()
        if isinstance(found, list):
            return found
        while self._files[0] is not found.file:
            self._files.popleft().close()
        try:
            return self._read(found)
        except OSError as error:
            raise DamagedError(found.calls, error.strerror or str(error)) from error
        except InvalidTag as error:
            raise DamagedError(found.calls, "its bytes have changed") from error
        finally:
            if not self._waiting:
                self.close()

    def close(self) -> None:
        """Let go of all messages."""
        self._waiting.clear()
        while self._files:
            self._files.pop().close()

    def _read(self, place: Place) -> list[Task]:
        data = read_at(place.file, place.offset, place.length)
        if len(data) < place.length:
            raise OSError("the file has become shorter")
        message: list[Task] = pickle.loads(self._cipher.decrypt(place.nonce, data, None))  # noqa: S301 - our own
        return message

    def _written(self, message: list[Task]) -> Place:
        plain = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if not self._files or self._end >= FILE_SIZE:
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
    """Return how many calls a message is about."""
    return len({uuid for task in message for uuid in (task.uuids if isinstance(task, Chunks) else (task.uuid,))})


def requests_in(message: Iterable[Task]) -> int:
    """Return how many calls begin in a message."""
    return sum(isinstance(task, RequestRead) for task in message)

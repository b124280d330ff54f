"""What is to be said later, on the disk: where more comes than the writer can take, memory stays within its bound.

Nobody else can read it: it is encrypted with a key that is only in this process's memory, in files without a name.
"""

import pickle
import secrets
import tempfile
from collections import deque
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from moonpalace_addons.store.journal.framing import read_at, write_at
from moonpalace_addons.store.tasks import Task

FILE_SIZE = 64_000_000
"""Bytes from which on another file is begun: what has been taken out of one gives its room back with it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is, and with which number it was encrypted."""

    file: FileIO
    offset: int
    length: int
    nonce: bytes


class Spool:
    """Messages that come out in the order in which they were put in; what no disk takes stays in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cipher = AESGCM(secrets.token_bytes(32))
        self._waiting = deque[Place | list[Task]]()
        self._files = deque[FileIO]()
        self._end = 0
        self._count = 0

    def __len__(self) -> int:
        """Return how many messages there are."""
        return len(self._waiting)

    def put(self, message: list[Task]) -> None:
        """Put a message in."""
        try:
            self._waiting.append(self._written(pickle.dumps(message, pickle.HIGHEST_PROTOCOL)))
        except OSError:
            self._waiting.append(message)

    def take(self) -> list[Task]:
        """Take the oldest message out; raises OSError if it can be read no more."""
        found = self._waiting.popleft()
        if isinstance(found, list):
            return found
        while self._files[0] is not found.file:
            self._files.popleft().close()
        data = read_at(found.file, found.offset, found.length)
        if not self._waiting:
            self.close()
        if len(data) < found.length:
            raise OSError("what waited on the disk to be stored has become shorter")
        message: list[Task] = pickle.loads(self._cipher.decrypt(found.nonce, data, None))  # noqa: S301 - our own
        return message

    def close(self) -> None:
        """Let go of all messages."""
        self._waiting.clear()
        while self._files:
            self._files.pop().close()

    def _written(self, plain: bytes) -> Place:
        if not self._files or self._end >= FILE_SIZE:
            folder = self._folder if self._folder.is_dir() else None
            file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - closed with its last message
            self._files.append(file)
            self._end = 0
        self._count += 1
        nonce = self._count.to_bytes(12, "little")
        data = self._cipher.encrypt(nonce, plain, None)
        write_at(self._files[-1], self._end, data)
        self._end += len(data)
        return Place(self._files[-1], self._end - len(data), len(data), nonce)

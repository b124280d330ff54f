"""Send only the end of a body that begins like an earlier one, because agents resend their history with each request.

Both ends of the pipe remember the same bodies: each message changes what they remember in the same way.
"""

from collections import deque
from collections.abc import Sequence
from itertools import count, takewhile
from typing import NamedTuple, cast

from moonpalace_addons.store.tasks import RequestRead, Task
from moonpalace_addons.writer_process.messages import received_tasks, tasks_to_send

BLOCK_SIZE = 4096
"""Bytes of a block: what two bodies share is a number of whole blocks."""
MIN_SIZE = 16_000
"""Smaller bodies, in bytes, are sent whole, and not remembered."""
MAX_SIZE = 8_000_000
"""Total bytes of the remembered bodies."""
MAX_BODIES = 32
"""The number of remembered bodies: each new one is compared with all of them."""
MAX_LAST = 8
"""Blocks at the end of a body that may differ in the next one of the same conversation."""


class Shortened(NamedTuple):
    """A request whose body lacks its first `blocks` blocks: those of the remembered body at `place`."""

    position: int
    place: int
    blocks: int


class Message(NamedTuple):
    """Tasks, some with shortened bodies; `remembered` is the number of bodies that had been remembered before."""

    tasks: Sequence[Task] | bytes
    shortened: list[Shortened]
    remembered: int


class SharedBodies:
    """What one end of the pipe remembers: bodies as blocks, the newest first."""

    def __init__(self) -> None:
        self._bodies = deque[list[bytes]]()
        self._size = 0
        self._remembered = 0

    def pack(self, batch: Sequence[Task]) -> object:
        """Return the message for some tasks."""
        before, shortened, tasks = self._remembered, list[Shortened](), list[Task]()
        for position, task in enumerate(batch):
            if isinstance(task, RequestRead) and MIN_SIZE <= len(task.body) <= MAX_SIZE:
                place, blocks = self._find(task.body)
                task = task.with_body(task.body[blocks * BLOCK_SIZE :])
                shortened.append(Shortened(position, place, blocks))
                self._remember(place, blocks, task.body)
            tasks.append(task)
        data = tasks_to_send(tasks)
        return Message(data, shortened, before) if shortened else data

    def unpack(self, message: object) -> Sequence[Task]:
        """Return the tasks of a message; raises ValueError if the two ends do not remember the same bodies."""
        if not isinstance(message, Message):
            return received_tasks(message)
        if message.remembered != self._remembered:
            raise ValueError("a message to the writer's process is missing")
        tasks = list(received_tasks(message.tasks))
        for position, place, blocks in message.shortened:
            task = cast(RequestRead, tasks[position])
            if blocks:
                tasks[position] = task.with_body(b"".join((*self._bodies[place][:blocks], task.body)))
            self._remember(place, blocks, task.body)
        return tasks

    def _find(self, body: bytes) -> tuple[int, int]:
        """Return the place of a body that begins like this one, and the number of blocks they share, 0 if none does."""
        for place, known in enumerate(self._bodies):
            half = len(known) // 2
            if body.startswith(known[half], half * BLOCK_SIZE):
                # The last block may be shorter than the others.
                same = takewhile(bool, map(body.startswith, known[:-1], count(0, BLOCK_SIZE)))
                return place, len([*same])
        return 0, 0

    def _remember(self, place: int, blocks: int, rest: bytes) -> None:
        """Remember a body that begins with some blocks of a known one; of a conversation only the last body is kept."""
        begin = list[bytes]()
        if blocks:
            known = self._bodies[place]
            begin = known[:blocks]
            if blocks >= len(known) - MAX_LAST:
                del self._bodies[place]
                self._size -= sum(map(len, known))
        body = begin + [rest[at : at + BLOCK_SIZE] for at in range(0, len(rest), BLOCK_SIZE)]
        self._bodies.appendleft(body)
        self._size += sum(map(len, body))
        while self._size > MAX_SIZE or len(self._bodies) > MAX_BODIES:
            self._size -= sum(map(len, self._bodies.pop()))
        self._remembered += 1

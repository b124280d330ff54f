"""Sent tasks of calls that the writer's process has not confirmed, kept for replay."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, ResponseStarted, Task

CALL_WEIGHT, CHUNK_WEIGHT = 4096, 16
"""Approximate bytes of a call besides headers and bodies, and of a chunk besides its data."""


@dataclass(slots=True)
class Call:
    """All tasks of one call."""

    request: RequestRead
    response: ResponseStarted | None = None
    times: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    data: bytearray = field(default_factory=bytearray, repr=False)
    ended: ExchangeEnded | None = None
    weight: int = 0
    """Approximate bytes, set when its end has been sent."""

    def note(self, task: ResponseStarted | ExchangeEnded) -> None:
        """Record a task after the request."""
        match task:
            case ResponseStarted():
                self.response = task
            case ExchangeEnded():
                self.ended = task
                response = len(self.response.headers) if self.response else 0
                request = len(self.request.body) + len(self.request.headers)
                self.weight = CALL_WEIGHT + request + response + len(self.data) + CHUNK_WEIGHT * len(self.times)

    def tasks(self) -> Iterator[Task]:
        """Yield all tasks of the call."""
        yield self.request
        if self.response is not None:
            yield self.response
        if self.times:
            counts = array("q", [len(self.times)])
            yield Chunks([self.request.uuid], counts, self.times, self.lengths, bytes(self.data))
        if self.ended is not None:
            yield self.ended


class Unconfirmed:
    """The unconfirmed calls, in the order of their requests."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._awaited: set[str] = set()
        self._awaited_count = 0
        # Each counter is written by one thread only.
        self._ended_size = 0
        self._confirmed_size = 0

    @property
    def waiting(self) -> int:
        """Return the approximate bytes of ended calls."""
        return self._ended_size - self._confirmed_size

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self._calls)

    def note(self, tasks: Iterable[Task]) -> None:
        """Record tasks that are about to be sent."""
        for each in tasks:
            if isinstance(each, RequestRead):
                self._calls[each.uuid] = Call(each)
            elif isinstance(each, Chunks):
                self._note_chunks(each)
            elif call := self._calls.get(each.uuid):
                before = call.weight
                call.note(each)
                self._ended_size += call.weight - before

    def _note_chunks(self, chunks: Chunks) -> None:
        for uuid, times, lengths, data in chunks.by_call():
            if call := self._calls.get(uuid):
                call.times += times
                call.lengths += lengths
                call.data += data

    def confirm(self, uuids: Iterable[str]) -> int:
        """Forget calls whose rows are safe; thread-safe.

        Return the number of replayed calls when the last of them is confirmed, else 0.
        """
        for uuid in uuids:
            if call := self._calls.pop(uuid, None):
                self._confirmed_size += call.weight
        if not self._awaited:
            return 0
        self._awaited.difference_update(uuids)
        return 0 if self._awaited else self._awaited_count

    def expect_ended(self) -> None:
        """Expect the confirmation of all ended calls after a replay."""
        self._awaited = {uuid for uuid, call in list(self._calls.items()) if call.ended is not None}
        self._awaited_count = len(self._awaited)

    def replayed(self) -> Iterator[list[Task]]:
        """Yield all tasks to replay, one message per call."""
        for call in list(self._calls.values()):
            yield list(call.tasks())

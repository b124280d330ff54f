"""What the process that writes has been told and may still forget: all that it needs to be told again if it dies."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, ResponseStarted, Task

CALL_WEIGHT, CHUNK_WEIGHT = 4096, 16
"""Bytes that a call takes beside headers and bodies, and a chunk of an answer beside its data, about."""


@dataclass(slots=True)
class Call:
    """All that has been said of one call."""

    request: RequestRead
    response: ResponseStarted | None = None
    times: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    data: bytearray = field(default_factory=bytearray, repr=False)
    ended: ExchangeEnded | None = None
    weight: int = 0
    """Bytes, about, once its end has been said."""

    def note(self, told: ResponseStarted | ExchangeEnded) -> None:
        """Note what has been said of it after its request."""
        match told:
            case ResponseStarted():
                self.response = told
            case ExchangeEnded():
                self.ended = told
                body = len(self.response.headers) if self.response else 0
                request = len(self.request.body) + len(self.request.headers)
                self.weight = CALL_WEIGHT + request + body + len(self.data) + CHUNK_WEIGHT * len(self.times)

    def again(self) -> Iterator[Task]:
        """Iterate over all that has been said of it."""
        yield self.request
        if self.response is not None:
            yield self.response
        if self.times:
            counts = array("q", [len(self.times)])
            yield Chunks([self.request.uuid], counts, self.times, self.lengths, bytes(self.data))
        if self.ended is not None:
            yield self.ended


class Unsettled:
    """The calls that are not known to be safe, in the order of their requests."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._awaited: set[str] = set()
        self._awaited_count = 0
        # Each is counted by one thread only.
        self._over = 0
        self._forgotten = 0

    @property
    def waiting(self) -> int:
        """Return how many bytes, about, the calls take that are over."""
        return self._over - self._forgotten

    def __len__(self) -> int:
        """Return how many calls there are."""
        return len(self._calls)

    def note(self, told: Iterable[Task]) -> None:
        """Note what is about to be said."""
        for each in told:
            if isinstance(each, RequestRead):
                self._calls[each.uuid] = Call(each)
            elif isinstance(each, Chunks):
                self._note_chunks(each)
            elif call := self._calls.get(each.uuid):
                before = call.weight
                call.note(each)
                self._over += call.weight - before

    def _note_chunks(self, chunks: Chunks) -> None:
        for uuid, times, lengths, data in chunks.by_call():
            if call := self._calls.get(uuid):
                call.times += times
                call.lengths += lengths
                call.data += data

    def settle(self, uuids: Iterable[str]) -> int:
        """Forget calls, whose rows are safe; from any thread.

        Return how many had waited to be said again, once these are the last of those.
        """
        for uuid in uuids:
            if call := self._calls.pop(uuid, None):
                self._forgotten += call.weight
        if not self._awaited:
            return 0
        self._awaited.difference_update(uuids)
        return 0 if self._awaited else self._awaited_count

    def wait(self) -> None:
        """Note that all calls which are over will have to be said again."""
        self._awaited = {uuid for uuid, call in list(self._calls.items()) if call.ended is not None}
        self._awaited_count = len(self._awaited)

    def again(self) -> Iterator[list[Task]]:
        """Iterate over all that is to be said again, call by call."""
        for call in list(self._calls.values()):
            yield list(call.again())

"""What the process that writes has been told and may still forget: all that it needs to be told again if it dies."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, ResponseStarted, Task


@dataclass(slots=True)
class Call:
    """All that has been said of one call."""

    request: RequestRead
    response: ResponseStarted | None = None
    times: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    data: bytearray = field(default_factory=bytearray, repr=False)
    ended: ExchangeEnded | None = None

    def note(self, told: ResponseStarted | ExchangeEnded) -> None:
        """Note what has been said of it after its request."""
        match told:
            case ResponseStarted():
                self.response = told
            case ExchangeEnded():
                self.ended = told

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
                call.note(each)

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
            self._calls.pop(uuid, None)
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

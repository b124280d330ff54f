"""The log of the calls that a mock has served."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import overload, override


@dataclass(frozen=True, slots=True)
class Served:
    """A finished call; `cut_off` means that the client left before it got everything.

    The events are those of a stream, including `[DONE]`; other answers have none. Header names are case-insensitive. A
    call of mock-cut or a similar model ends when the mock breaks off, which does not set `cut_off`.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    sent_events: int
    total_events: int
    cut_off: bool
    status: int = 200
    model: str = ""


class ServedLog(Sequence[Served]):
    """The last `keep` calls in the order in which they ended; thread-safe for readers.

    A call is in the log before its last bytes are sent, so a client that has read its answer finds its call.
    """

    def __init__(self, keep: int) -> None:
        self._calls: deque[Served] = deque(maxlen=keep)
        self._changed = Condition()

    def append(self, served: Served) -> None:
        """Add a finished call."""
        with self._changed:
            self._calls.append(served)
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 5.0) -> list[Served]:
        """Return the calls once there are `count` of them, or raise `TimeoutError` after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._calls) >= count, timeout):
                raise TimeoutError(f"{len(self._calls)} of {count} calls after {timeout} s")
            return list(self._calls)

    @overload
    def __getitem__(self, index: int) -> Served: ...
    @overload
    def __getitem__(self, index: slice) -> list[Served]: ...
    @override
    def __getitem__(self, index: int | slice) -> Served | list[Served]:
        with self._changed:
            if isinstance(index, slice):
                return list(self._calls)[index]
            return self._calls[index]

    @override
    def __len__(self) -> int:
        with self._changed:
            return len(self._calls)

    @override
    def __iter__(self) -> Iterator[Served]:
        with self._changed:
            return iter(list(self._calls))

"""Keep a copy of a running stream with its times, so that it can be shown."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from moonpalace_addons.live.call_text import MAX_SIZE

type Stream = Callable[[bytes], bytes | Iterable[bytes]]


class Watch:
    """Wrap a response's stream, pass its output on, and keep the first `MAX_SIZE` bytes of it.

    `size` is the number of bytes kept, `passed` that of all bytes. `started` is when the request began, in nanoseconds
    of the monotonic clock; `times` has the offset after each piece and nanoseconds since then.
    """

    def __init__(self, stream: Stream, started: int) -> None:
        self.stream = stream
        self.started = started
        self.size = self.passed = 0
        self.times: list[tuple[int, int]] = []
        self._pieces: list[bytes] = []
        self._together: Callable[[Sequence[bytes]], Sequence[bytes]] | None = getattr(stream, "together", None)

    @property
    def together(self) -> Callable[[Sequence[bytes]], Sequence[bytes]] | None:
        """Return the function for pieces that arrive together, or None if the stream only takes single pieces."""
        return self._all if self._together is not None else None  # not kept: a cycle

    @property
    def content(self) -> bytes:
        """Return the received part."""
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def __call__(self, data: bytes) -> bytes | Sequence[bytes]:
        """Pass data through the stream."""
        output = self.stream(data)
        passed = output if isinstance(output, bytes) else list(output or ())
        self._keep([passed] if isinstance(passed, bytes) else passed)
        return passed

    def _all(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Pass pieces that arrived together through the stream."""
        passed = cast(Callable[[Sequence[bytes]], Sequence[bytes]], self._together)(pieces)
        self._keep(passed)
        return passed

    def _keep(self, pieces: Iterable[bytes]) -> None:
        at = time.monotonic_ns() - self.started
        for piece in pieces:
            self.passed += len(piece)
            if piece and self.size < MAX_SIZE:
                self._pieces.append(piece[: MAX_SIZE - self.size])
                self.size += len(self._pieces[-1])
                self.times.append((self.size, at))

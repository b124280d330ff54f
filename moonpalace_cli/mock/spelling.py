"""Serialize a stream to bytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that are sent together; `events` is the number of events from the first one that are complete with them."""

    data: bytes
    events: int


class Spelling:
    """Write answers like the API; without `terminated` a stream lacks `[DONE]` and the end of its last event."""

    terminated: bool = True

    def pieces(self, payloads: Iterable[str], count: int) -> Iterator[Piece]:
        """Write `count` payloads, the last of which is `[DONE]` if the stream has one."""
        for number, payload in zip(range(1, count + 1), payloads, strict=True):
            yield Piece(f"data: {payload}\n\n".encode("utf-8", "replace"), number)

    def encode(self, body: bytes) -> bytes:
        """Return the bytes of a body without streaming."""
        return body

"""Serialize a stream to bytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Piece:
    """Hold bytes that are sent at once; `events` counts the events that are complete with them, from the first one."""

    data: bytes
    events: int


class Spelling:
    """Write answers as the API does; without `terminated` a stream lacks `[DONE]` and the end of its last event."""

    terminated: bool = True

    def pieces(self, payloads: Iterable[str], count: int) -> Iterator[Piece]:
        """Write `count` payloads, the last of which is `[DONE]` where the stream has one."""
        for number, payload in zip(range(1, count + 1), payloads, strict=True):
            yield Piece(f"data: {payload}\n\n".encode("utf-8", "replace"), number)

    def encode(self, body: bytes) -> bytes:
        """Return the body of an answer without streaming as it is sent."""
        return body

"""What the hooks tell the writer: small values, made on the event loop, on their way to the writer's process."""

from array import array
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import structs

from moonpalace_addons.store.state import State as State


class _Told(msgspec.Struct, frozen=True):
    """What is said of one call. Structs are made, sent and read at a third of the cost of dataclasses."""

    uuid: str

    def __repr__(self) -> str:
        """Return the kind and the call: the rest may be secret, or long."""
        return f"{type(self).__name__}(uuid={self.uuid!r})"


class RequestRead(_Told, frozen=True):
    """Say that a request has been read; its row is to be written.

    `started_at` is in microseconds since the epoch. `headers`, `path`, `query` and `body` are as the client sent them:
    they pass the gate (`store.write.gate`) before anything is kept. `secrets` are those of the proxy's owner, masked
    wherever they occur, and `api_key` is the one that upstream gets, of which a fingerprint is stored. `coerced` says
    that upstream was asked for a stream, and the client was not.
    """

    started_at: int
    method: str
    endpoint: str
    path: str
    query: str
    headers: str
    content_type: str | None
    content_encoding: str | None
    client_request_id: str | None
    body: bytes
    api_key: bytes | None = None
    secrets: tuple[bytes, ...] = ()
    changes: tuple[str, ...] = ()
    coerced: bool = False


class ResponseStarted(_Told, frozen=True):
    """Say that the headers of a response have come.

    `chunks` is shared with the hooks: they append (nanoseconds since the request began, bytes as they came) while the
    body arrives, whoever hands them on takes from the left, so that a chunk costs the event loop one append.
    """

    at: int
    status_code: int
    headers: str
    content_type: str | None
    content_encoding: str | None
    chunks: deque[tuple[int, bytes]]

    def alone(self) -> "ResponseStarted":
        """Return it without the chunks, which are told by themselves."""
        return structs.replace(self, chunks=deque())


class ExchangeEnded(_Told, frozen=True):
    """Say that a call is over, `at` nanoseconds after it began; `response` where the writer has not had it yet.

    `cut_at` is after how many decoded bytes we ended a stream that looped; what came after them the client never got.
    `unsent` is how many bytes waited for the client to take them, be it that it did not read, or had no time to.
    `dropped` is how many bytes of the answer's end are not kept, though the client got them.
    `cache_outcome` is what context caching came to: hit, miss, created, refused, unused.
    """

    at: int
    state: State
    overhead: int = 0
    error_kind: str | None = None
    error_message: str | None = None
    response: ResponseStarted | None = None
    warnings: tuple[str, ...] = ()
    cut_at: int | None = None
    unsent: int = 0
    dropped: int = 0
    cache_outcome: str | None = None


class Chunks(NamedTuple):
    """Chunks of answers under way, packed: small objects by the thousand would cost both ends dear.

    `counts` says how many there are of each of the calls `uuids`. They follow one another: `times` are when each came
    (nanoseconds since its request began), `lengths` how many bytes of `data` it has.
    """

    uuids: list[str]
    counts: "array[int]"
    times: "array[int]"
    lengths: "array[int]"
    data: bytes

    def by_call(self) -> Iterator[tuple[str, "array[int]", "array[int]", bytes]]:
        """Iterate over the calls: its uuid, and the times, lengths and bytes of its chunks."""
        first = begin = 0
        for uuid, count in zip(self.uuids, self.counts, strict=True):
            last = first + count
            lengths = self.lengths[first:last]
            end = begin + sum(lengths)
            yield uuid, self.times[first:last], lengths, self.data[begin:end]
            first, begin = last, end


type Task = RequestRead | ResponseStarted | Chunks | ExchangeEnded

"""Tasks that hooks send to the writer: small values created on the event loop for the writer's process."""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from moonpalace_addons.store.state import State as State


class _Task(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A task about one call. Structs cost a third of dataclasses to create, and far less to send and read."""

    uuid: str

    def __repr__(self) -> str:
        """Return only type and uuid; the other fields may be secret or long."""
        return f"{type(self).__name__}(uuid={self.uuid!r})"


class RequestRead(_Task, frozen=True):
    """A request has been read; its row is to be written.

    `started_at` is in microseconds since the epoch. `headers`, `path`, `query` and `body` are as the client sent them;
    they pass the gate (`store.write.gate`) before they are stored. `secrets` are those of the proxy's owner, masked
    wherever they occur; `api_key` is the key sent upstream, of which a fingerprint is stored. `coerced` means that
    upstream was asked for a stream although the client did not ask for one. `endpoint_name` is the endpoint's name in
    config.yaml.
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
    endpoint_name: str | None = None

    def within(self, uuid: str, started_at: int, body: bytes) -> "RequestRead":
        """Return the request of a call within the connection that this request has opened."""
        return structs.replace(self, uuid=uuid, started_at=started_at, body=body)

    def with_body(self, body: bytes) -> "RequestRead":
        """Return the request with another body."""
        return structs.replace(self, body=body)


class ResponseStarted(_Task, frozen=True):
    """The headers of a response have arrived.

    `chunks` is shared with the hooks, which append (nanoseconds since the request began, bytes as received) while the
    sender pops from the left. A chunk thus costs the event loop one append.
    """

    at: int
    status_code: int
    headers: str
    content_type: str | None
    content_encoding: str | None
    chunks: deque[tuple[int, bytes]]

    def within(self, uuid: str, at: int, chunks: deque[tuple[int, bytes]]) -> "ResponseStarted":
        """Return the beginning of an answer within the connection that this answer has opened."""
        return structs.replace(self, uuid=uuid, at=at, chunks=chunks)

    def labelled(self, content_type: str) -> "ResponseStarted":
        """Return the task with the type of what is stored."""
        return structs.replace(self, content_type=content_type)

    def without_chunks(self) -> "ResponseStarted":
        """Return the task without its chunks, which are sent separately."""
        return structs.replace(self, chunks=deque())


class ExchangeEnded(_Task, frozen=True):
    """A call has ended, `at` nanoseconds after it began; `response` is set if the writer has not received it yet.

    `cut_at` is the number of decoded bytes after which we ended a looping stream; the client got nothing after them.
    `unsent` is the number of bytes that the client had not read yet.
    `dropped` is the number of bytes at the end of the answer that the client got but that are not stored.
    `cache_outcome` is the outcome of context caching: hit, miss, created, refused or unused.
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


class Chunks(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Chunks of answers in flight, packed into arrays because thousands of small objects are expensive at both ends.

    `counts` is the number of chunks of each call in `uuids`; the chunks follow one another in that order. `times` are
    their arrival times in nanoseconds since the request began, `lengths` their sizes in `data`.
    """

    uuids: list[str]
    counts: "array[int]"
    times: "array[int]"
    lengths: "array[int]"
    data: bytes

    def by_call(self) -> Iterator[tuple[str, "array[int]", "array[int]", bytes]]:
        """Yield the uuid of each call with the times, lengths and bytes of its chunks."""
        first = begin = 0
        for uuid, count in zip(self.uuids, self.counts, strict=True):
            last = first + count
            lengths = self.lengths[first:last]
            end = begin + sum(lengths)
            yield uuid, self.times[first:last], lengths, self.data[begin:end]
            first, begin = last, end


class ProxyEnded(NamedTuple):
    """The proxy has ended; calls still in flight have died with it."""


type Task = RequestRead | ResponseStarted | Chunks | ExchangeEnded


def dump(tasks: Sequence[Task]) -> bytes:
    """Return tasks as MessagePack, in a fifth of the time of a pickle; raises ValueError for text with surrogates."""
    return _ENCODER.encode(tasks)


def load(data: bytes) -> list[Task]:
    """Return the tasks that `dump` has encoded."""
    return _DECODER.decode(data)


def _as_plain(value: object) -> object:
    if isinstance(value, deque):
        return list(value)
    if isinstance(value, array):
        return value.tobytes()
    raise TypeError(type(value).__name__)


def _from_plain(kind: object, value: Any) -> object:
    return array("q", value) if kind == array[int] else deque(map(tuple, value))


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_as_plain)
_DECODER = msgspec.msgpack.Decoder(list[Task], dec_hook=_from_plain)

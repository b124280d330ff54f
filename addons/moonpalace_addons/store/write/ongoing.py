"""Calls in flight: their units, and their answers so far."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from moonpalace_addons.store.tasks import ResponseStarted
from moonpalace_addons.store.write import derive, gate
from moonpalace_addons.store.write.answers import Received
from moonpalace_addons.store.write.units import TIME_WEIGHT, Times, Unit
from moonpalace_addons.wire.chat.arrivals import Arrivals
from moonpalace_addons.wire.codings import encodings
from moonpalace_addons.wire.secrets import masking as secrets

MAX_SEGMENT = 8_000_000
"""Maximum bytes of an answer in flight that are stored at once."""
CONTEXT_SIZE = 1000
"""Bytes before a part of an answer that are searched with it, as a secret may begin in them."""


@dataclass(slots=True)
class Answer:
    """An answer in flight: decodes the chunks from the hooks and returns new parts for the store."""

    started: ResponseStarted
    secrets: tuple[bytes, ...] = field(repr=False)
    body: io.BytesIO = field(default_factory=io.BytesIO, repr=False)
    size: int = 0
    """Bytes of the body so far."""
    chunks: Arrivals = field(default_factory=Arrivals)
    decoder: encodings.Decoder = field(init=False)
    headers: str = field(init=False)
    stored: int = 0
    stored_chunks: int = 0

    def __post_init__(self) -> None:
        """Create the decoder for the declared encoding, and mask secrets in the headers."""
        self.decoder = encodings.Decoder(self.started.content_encoding)
        self.headers, found = secrets.mask_header_text(self.started.headers)
        if found:
            self.secrets = gate.merged_secrets(self.secrets, tuple(found))

    def absorb(self) -> None:
        """Decode the chunks that have arrived since the last call."""
        waiting = self.started.chunks
        for at, data in [waiting.popleft() for _ in range(len(waiting))]:
            self._add(self.decoder.feed(data))
            self.chunks.append(self.size, at)

    def take(self, times: Sequence[int], lengths: Sequence[int], data: bytes) -> None:
        """Decode packed chunks: their arrival times, their lengths and all their bytes."""
        if self.decoder.passes:
            offsets = accumulate(lengths, initial=self.size)
            next(offsets)
            self._add(data)
            self.chunks.extend(offsets, times)
            return
        begin = 0
        for at, length in zip(times, lengths, strict=True):
            self._add(self.decoder.feed(data[begin : begin + length]))
            self.chunks.append(self.size, at)
            begin += length

    def _add(self, data: bytes) -> None:
        self.size += self.body.write(data)

    def fresh(self) -> tuple[bytes, Times]:
        """Return the part that is not stored yet, and mark it as stored.

        The last bytes are held back while they may be the beginning of a secret.
        """
        self.absorb()
        before = min(self.stored, CONTEXT_SIZE)
        with self.body.getbuffer() as body:
            data = bytes(body[self.stored - before : self.stored + MAX_SEGMENT])
            in_events = gate.is_events(bytes(body[: gate.HEAD_SIZE]))
        size = max(before, gate.storable_size(data, self.secrets, in_events=in_events))
        masked = gate.masked_part(data, self.secrets, in_events=in_events)[before:size]
        self.stored += size - before
        count = len(self.chunks)
        while count > self.stored_chunks and self.chunks.offsets[count - 1] > self.stored:
            count -= 1
        chunks = self.chunks[self.stored_chunks : count]
        self.stored_chunks = count
        return masked, chunks

    def heading(self) -> Received:
        """Return the answer without its body."""
        return self._received(b"")

    def _received(self, body: bytes, kinds: Sequence[str] = ()) -> Received:
        return Received(
            at=self.started.at,
            status_code=self.started.status_code,
            headers=self.headers,
            content_type=self.started.content_type,
            body=body,
            chunks=self.chunks,
            problem=self.decoder.error,
            masked=tuple(kinds),
        )

    def close(self) -> Received:
        """Return the whole answer, including bytes that the decoder still held."""
        self.absorb()
        self._add(self.decoder.close())
        body, self.body = self.body.getvalue(), io.BytesIO()  # which copies nothing
        return self._received(*gate.masked_body(body, self.secrets))


@dataclass(slots=True)
class Ongoing(Unit):
    """The unit of a call in flight, which grows with each task until its end is written.

    What has been written is dropped: the request's body and the segments may be large. `segment_count` is the number of
    segments of its answer so far.
    """

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    warnings: list[str] = field(default_factory=list)
    answer: Answer | None = None
    is_answer_announced: bool = False
    segment_count: int = 0

    @property
    def answer_weight(self) -> int:
        """Return the approximate memory of its answer in flight in bytes."""
        return self.answer.size + TIME_WEIGHT * len(self.answer.chunks) if self.answer else 0

    @property
    def last_at(self) -> int:
        """Return the time of the last event, in nanoseconds since the request began."""
        if self.answer is None:
            return 0
        return self.answer.chunks.times[-1] if self.answer.chunks else self.answer.started.at

    def begin_answer(self, started: ResponseStarted) -> None:
        """Note that the answer has begun."""
        self.answer = Answer(started, self.secrets)
        self.secrets = self.answer.secrets

    def keep_answer(self) -> bool:
        """Add the new part of the answer in flight as a segment; return whether anything is to be written."""
        if self.answer is None:
            return False
        data, chunks = self.answer.fresh()
        if not data and self.is_answer_announced:
            return False
        if not self.is_answer_announced:
            self.is_answer_announced = True
            self.change(derive.header_columns(self.answer.heading()), self.secrets)
        if data:
            self.segments.append((self.segment_count, data, chunks))
            self.segment_count += 1
        return True

    def drop_written(self) -> None:
        """Drop the parts that were written to the store or to a journal."""
        self.changed, self.request_body, self.segments = {}, None, []
        self.kept = self.segment_count > 0

    def forget_stored(self) -> None:
        """Mark the whole call as not stored."""
        self.row_id, self.kept, self.segment_count, self.is_answer_announced = None, False, 0, False
        self.segments = []
        if self.answer is not None:
            self.answer.stored = self.answer.stored_chunks = 0

"""Decode HTTP content encodings incrementally: gzip, deflate, br, zstd and lists of them (RFC 9110, section 8.4).

Errors are reported by `Decoder.error` and never raised:

    before the first decoded byte    the bytes are returned undecoded, including those fed before
    after it                         the decoded part is kept, nothing more is returned
    premature end                    "truncated", and one of the two rules above

Up to `MAX_HELD` bytes are kept for the first rule; beyond that, the second rule applies.
"""

from collections.abc import Iterator

from moonpalace_addons.wire.codings.coding import CODINGS, BrokenError, Coding
from moonpalace_addons.wire.foreign import quoted

DEFAULT_MAX_OUTPUT = 100_000_000
"""Maximum decoded bytes of a body that are kept."""
MAX_HELD = 1024 * 1024
TRUNCATED = "truncated"

_IDENTITY = ("", "identity")
# A longer list has no legitimate use, and each coding multiplies the work that a few bytes can cause.
_MAX_CODINGS = 4
_MAX_NAME = 40
"""Maximum characters of an unknown coding's name in an error."""


class Decoder:
    """Decode one body; `content_encoding` is the header's value, with the codings in the order they were applied.

    `max_output` limits the decoded bytes, including those between two codings; `max_per_feed` limits those that one
    `feed` returns. At either limit decoding stops with an error.
    """

    def __init__(
        self, content_encoding: str | None, max_output: int = DEFAULT_MAX_OUTPUT, max_per_feed: int = DEFAULT_MAX_OUTPUT
    ) -> None:
        self.error: str | None = None
        self._max_output = max_output
        self._max_per_feed = max_per_feed
        self._passing = False
        self._stopped = False
        self._held: bytearray | None = bytearray()
        self._has_input = False
        self._stages = self._make_stages(content_encoding) if content_encoding else []
        self._made = [0] * len(self._stages)
        if not self._stages:
            self._passing = True

    @property
    def passes(self) -> bool:
        """Return whether everything is returned as it is fed."""
        return self._passing

    def feed(self, data: bytes) -> bytes:
        """Return the decoded bytes available so far."""
        if self._passing or self._stopped or not data:
            return data if self._passing else b""
        self._has_input = True
        if self._held is not None:
            self._held += data
        output = []
        try:
            for piece in self._decode_bounded(data):
                output.append(piece)
                self._held = None
        except BrokenError as broken:
            output.append(self._fail(str(broken)))
        if self._held is not None and len(self._held) > MAX_HELD:
            self._held = None
        return b"".join(output)

    def close(self) -> bytes:
        """Return the remaining bytes: none, unless the body was cut before its first decoded byte."""
        if self._passing or self._stopped or not self._has_input or all(stage.is_complete for stage in self._stages):
            return b""
        return self._fail(TRUNCATED)

    def _make_stages(self, content_encoding: str) -> list[Coding]:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        names = [name for name in names if name not in _IDENTITY]
        unknown = [name for name in names if name not in CODINGS]
        if unknown:
            self.error = f"unknown content encoding {quoted(unknown[0], _MAX_NAME)!r}"
        elif len(names) > _MAX_CODINGS:
            self.error = f"more than {_MAX_CODINGS} content encodings"
        if self.error:
            return []
        return [CODINGS[name]() for name in reversed(names)]

    def _decode_bounded(self, data: bytes) -> Iterator[bytes]:
        room = self._max_per_feed
        for piece in self._decode(0, data):
            yield piece
            room -= len(piece)
            if room < 0:
                raise BrokenError(f"decodes to more than {self._max_per_feed} bytes at once")

    def _decode(self, number: int, data: bytes) -> Iterator[bytes]:
        if number == len(self._stages):
            yield data
            return
        for piece in self._stages[number].feed(data):
            room = self._max_output - self._made[number]
            self._made[number] += len(piece)
            yield from self._decode(number + 1, piece[:room])
            if len(piece) > room:
                raise BrokenError(f"decodes to more than {self._max_output} bytes")

    def _fail(self, error: str) -> bytes:
        self.error = error
        if self._held is None:
            self._stopped = True
            return b""
        self._passing = True
        held, self._held = bytes(self._held), None
        return held


def decode(data: bytes, content_encoding: str | None, max_output: int = DEFAULT_MAX_OUTPUT) -> tuple[bytes, str | None]:
    """Decode a whole body; return it with the error, if any, by the rules at the top of this module."""
    if not content_encoding:
        return data, None
    decoder = Decoder(content_encoding, max_output)
    decoded = decoder.feed(data) + decoder.close()
    return decoded, decoder.error

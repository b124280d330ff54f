"""A Bloom filter of the words of some texts: it answers "perhaps" or "certainly not" for any token.

Each token sets a few bits, and half of all bits end up set, so one in a hundred absent words is reported as perhaps
present. Each filter has a seed that changes the bits of a token, so that a false positive of one filter is not one of
all others.

CPU cost on a busy machine with two cores: searching 50,000 calls of 6 KB for a word that no text contains takes 0.1 s
with filters and 1.5 s without (33 s for a word of the JSON itself, such as "user"). In calls of agent sessions, 130 KB
on average, it takes 18 s without. Filters take 1.4 % of the store, and about 1.8 ms of the writer's process per call,
in the background. SQLite's FTS5 with trigrams (without positions) takes 79 % of the store, and 3.2 ms.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import batched
from math import log

from moonpalace_addons.wire.chat.searched import raw_strings, unescape
from moonpalace_addons.wire.words import IOTA_BELOW, is_east_asian, slices, text_tokens

BITS_PER_TOKEN, BITS_PER_PAIR = 7, 4
"""Bits that a token sets, and a token of two characters: there are many of these, and a search needs several."""

MAX_TOKENS = 300_000
"""Maximum tokens of a filter, about 30 MB of memory; texts with more get `MATCH_ALL`."""

MAX_BODY_LENGTH = 4_000_000
"""Maximum characters of an indexed body: a longer one would block the process for too long at once."""

TOKENS_PER_STEP = 500
"""Tokens that are packed in one step, about a millisecond."""

SEEDS = 1024
"""Number of distinct seeds."""

MATCH_ALL = b"\xff"
"""The filter of texts that may contain every word."""


@dataclass(frozen=True, slots=True)
class BitPositions:
    """The `count` bits that a token sets: an arithmetic progression from `first` by `step`, shifted by the seed.

    Each position is to be taken modulo the bits of the filter; it fits into 63 bits.
    """

    first: int
    step: int
    count: int

    def for_seed(self, seed: int) -> range:
        """Return the positions in the filter that has this seed."""
        start = self.first + seed % SEEDS * self.step
        return range(start, start + self.count * self.step, self.step)


def places(token: str) -> BitPositions:
    """Return the positions of the bits that a token sets."""
    digest = int.from_bytes(blake2b(token.encode(), digest_size=16).digest())
    return BitPositions(digest >> 67, (digest & (1 << 52) - 1) | 1, count(token))


def count(token: str) -> int:
    """Return the number of bits that a token sets."""
    return BITS_PER_PAIR if len(token) == 2 and is_east_asian(token) else BITS_PER_TOKEN


def may_contain(words: bytes, seed: int, positions: Iterable[BitPositions]) -> bool:
    """Return whether the filter with this seed may contain all tokens that set these bits."""
    size = len(words) * 8
    return all(
        words[(place % size) >> 3] >> (place % size & 7) & 1 for each in positions for place in each.for_seed(seed)
    )


@dataclass(slots=True)
class FilterBuilder:
    """Collect the tokens of many bodies; a text that repeats is read once. `seed` is the filter's."""

    seed: int
    tokens: set[str] = field(default_factory=set)
    seen: set[bytes] = field(default_factory=set)
    is_full: bool = False

    def add(self, body: str) -> Iterator[None]:
        """Add the texts of a body, in steps of about a millisecond."""
        self.is_full |= len(body) > MAX_BODY_LENGTH
        for written in () if self.is_full else raw_strings(body):
            mark = blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if mark in self.seen:
                continue
            self.seen.add(mark)
            yield from self._take(unescape(written))

    def _take(self, text: str) -> Iterator[None]:
        self.is_full |= IOTA_BELOW in text
        for piece in slices(text):
            if self.is_full:
                return
            self.tokens |= text_tokens(piece)
            self.is_full = len(self.tokens) > MAX_TOKENS
            yield

    def build(self) -> Generator[None, None, bytes]:
        """Return the filter of all texts added, in steps of about a millisecond."""
        if self.is_full:
            return MATCH_ALL
        total = 0
        for some in batched(self.tokens, TOKENS_PER_STEP):
            total += sum(map(count, some))
            yield
        bits = bytearray(max(8, round(total / log(2) / 8)))
        for some in batched(self.tokens, TOKENS_PER_STEP):
            set_bits(bits, (place for token in some for place in places(token).for_seed(self.seed)))
            yield
        return bytes(bits)


def set_bits(bits: bytearray, places: Iterable[int]) -> None:
    """Set the bits at these positions, each modulo the number of bits."""
    size = len(bits) * 8
    for place in places:
        bit = place % size
        bits[bit >> 3] |= 1 << (bit & 7)

"""Find known credentials in data, including parts of them and other encodings.

A credential is known from the headers, the query or the settings. A client or upstream may repeat it literally,
percent-encoded, in base64, with JSON escapes, or cut: at least `MIN_PART` characters of its start or end.
"""

import base64
import html
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple
from urllib.parse import quote

MIN_PART = 12
"""Minimum length of a part that is treated as the credential: fewer characters may be chance or a common prefix."""
_MIN_SPLIT_LENGTH = 16
"""Minimum length of a credential whose parts, and base64 form, are searched for."""
_ESCAPED = re.compile(rb"\\u00(?:2[bdf]|3[0-9a]|[46][1-9a-f]|[57][0-9a]|5f)", re.IGNORECASE)

_BY_FREQUENCY = b'zqjx9876543kvbpgfwymucdlhsrniotae210-_./\\" '
"""Bytes from rare to frequent ones in JSON; others are rarer still."""

type Span = tuple[int, int]


class Needle(NamedTuple):
    """The bytes to search for, the bytes that may follow them, and those that may precede them.

    `rare` and `other` are the rarest of their bytes. Searching for one byte takes a tenth of the time, and mostly ends
    the search.
    """

    text: bytes
    begins: bytes
    ends: bytes
    rare: int
    other: int


class KnownCredentials:
    """The credentials of one call."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self.secrets = tuple(sorted({secret for secret in secrets if secret}, key=len, reverse=True))
        self.longest = max(map(len, self.secrets), default=0)
        self._needles = tuple(starmap(_needle, _needles(self.secrets)))
        self._escaped: re.Pattern[bytes] | None = None

    def spans(self, data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Span]:
        """Yield spans of credentials, or parts of one, that begin in a part of the data; spans may overlap."""
        stop = len(data) if stop is None else min(stop, len(data))
        for needle, begins, ends, rare, other in self._needles:
            limit = stop + len(needle) - 1
            if data.find(rare, start, limit) < 0 or data.find(other, start, limit) < 0:
                continue
            place = data.find(needle, start, limit)
            while place >= 0:
                first, last = place, place + len(needle)
                while last < len(data) and last - first < len(begins) and data[last] == begins[last - first]:
                    last += 1
                while first > 0 and last - first < len(ends) and data[first - 1] == ends[first - last - 1]:
                    first -= 1
                yield first, last
                place = data.find(needle, last, limit)
        if self.secrets and data.find(b"\\u00", start, stop) >= 0 and _ESCAPED.search(data, start, stop):
            yield from (match.span() for match in self._as_escaped().finditer(data, start))

    def touches(self, data: bytes) -> bool:
        """Return whether there may be any: a fast check that suffices for most texts."""
        for needle, _, _, rare, other in self._needles:  # `any` takes twice as long
            if rare in data and other in data and needle in data:
                return True
        return b"\\u00" in data

    def begun(self, data: bytes) -> int:
        """Return how many bytes at the end of the data may be the start of a credential still to come."""
        ends = data[-self.longest :]
        lengths = (size for secret in self.secrets for size in range(1, len(secret)) if ends.endswith(secret[:size]))
        return max(lengths, default=0)

    def _as_escaped(self) -> re.Pattern[bytes]:
        r"""Return the pattern of the credentials with any of their characters written as `\u0041`."""
        if self._escaped is None:
            self._escaped = re.compile(b"|".join(b"".join(map(_spellings, secret)) for secret in self.secrets))
        return self._escaped


@lru_cache(256)
def known(secrets: tuple[bytes, ...]) -> KnownCredentials:
    """Return the finder of these credentials; calls with the same ones share it."""
    return KnownCredentials(secrets)


def _needle(text: bytes, begins: bytes, ends: bytes) -> Needle:
    rare = sorted(set(text), key=_BY_FREQUENCY.find)
    return Needle(text, begins, ends, rare[0], rare[:2][-1])


def _needles(secrets: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the bytes to search for, the bytes that may follow them, and those that may precede them."""
    for secret in secrets:
        if len(secret) < _MIN_SPLIT_LENGTH:
            yield secret, secret, b""
            continue
        yield secret[:MIN_PART], secret, b""
        yield secret[-MIN_PART:], b"", secret
        yield from ((text, text, b"") for text in _in_base64(secret))
    for secret in secrets:
        yield from ((text, text, b"") for text in _encoded(secret))


def _encoded(secret: bytes) -> set[bytes]:
    text = secret.decode("utf-8", "surrogateescape")
    percent = quote(secret, safe="").encode()
    escaped = json.dumps(text)[1:-1].encode()
    lower = re.sub(rb"%[0-9A-F]{2}", lambda match: match[0].lower(), percent)
    twice = quote(percent).encode()
    page = html.escape(text).encode("utf-8", "surrogateescape")
    return {percent, lower, twice, page, escaped, escaped.replace(b"/", rb"\/")} - {secret}


def _in_base64(secret: bytes) -> set[bytes]:
    """Return the substrings that the base64 of any text with the secret contains, whatever surrounds it."""
    substrings: set[bytes] = set()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + secret)
        # Omit characters that include bits of the surrounding text.
        inner = text[(0, 2, 3)[shift] : (len(secret) + shift) * 8 // 6]
        substrings |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return substrings


def _spellings(byte: int) -> bytes:
    return b"(?:%s|(?i:\\\\u%04x))" % (re.escape(bytes([byte])), byte)

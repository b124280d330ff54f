"""Replace data that identifies people, accounts and keys by stable pseudonyms.

The same value gets the same pseudonym in all exports of one store, and the value cannot be derived from a pseudonym
without the store. Replaced are:

    secrets       matches of `wire.secrets.patterns`, and values of members and parameters named like a password
    accounts      the headers Msh-Uid, Msh-Gid, … with their values wherever they occur; IDs like `org-…`, `ak-…`
    users         members and headers named like a user's ID, with their values wherever they occur
    e-mail        addresses anywhere
    persons       phone numbers, Chinese identity numbers, bank cards, hosts of private networks, named passwords
    headers       those whose name has token, secret, auth, key, cookie or session in it
    files         `data:` URLs, base64 members, bodies that are not text: the placeholder states type and size
    matches       matches of the settings' pattern

What today's rules mask is masked first (`redaction.masked`), as the call may have been stored by an earlier version.

`Redactor.summary` counts what was replaced, and names strings that look random and were kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from moonpalace_addons.store.read.header_text import header_lines
from moonpalace_addons.wire.secrets import patterns, personal
from moonpalace_addons.wire.secrets.masking import is_masked
from moonpalace_addons.wire.secrets.names import is_secret, is_secret_member
from moonpalace_cli.redaction.call_strings import PLACES, rewrite, rewrite_exchange, rewrite_text
from moonpalace_cli.redaction.masked import credentials_of, masked, masked_row, masked_text, secrets_of
from moonpalace_cli.redaction.names import (
    ACCOUNT_HEADERS,
    ACCOUNT_MEMBERS,
    FILE_MEMBERS,
    USER_HEADERS,
    USER_MEMBERS,
)
from moonpalace_cli.redaction.replacing import Place, Replacement, whole
from moonpalace_cli.redaction.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from moonpalace_addons.store.exchange import Exchange
    from moonpalace_cli.calls.reading import Call

    type FindMatches = Callable[[str], Iterable[tuple[int, int]]]

MIN_KNOWN_LENGTH = 8
"""Minimum characters of a value that is replaced everywhere: a shorter one is too likely to be a word."""
MIN_FILE_LENGTH = 200
"""Minimum characters of base64 that is treated as a file."""
DIGITS = 12
PERSON = b"mpal redaction"  # distinguishes pseudonyms from fingerprints of API keys, which use the same key

# Both parts of an address are scanned from its @ within bounds: no text makes the search slow.
LOCAL_PART = re.compile(r"[A-Za-z0-9._%+-]{1,64}\Z")
DOMAIN = re.compile(r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")
ACCOUNT_ID = re.compile(r"(?<![A-Za-z0-9_-])(?:ak|org|proj|project|user)-(?=[A-Za-z]*[0-9])[A-Za-z0-9]{12,}")
DATA_URL = re.compile(
    r"data:([a-z]{1,20}/[A-Za-z0-9.+-]{1,80})((?:;[A-Za-z0-9=._-]{1,80}){0,4});base64,([A-Za-z0-9+/=_-]*)"
)
BASE64 = re.compile(r"[A-Za-z0-9+/_\r\n-]+={0,2}\s*")

SECRET_HEADER = re.compile("token|secret|auth|key|cookie|session")
PLAIN_VALUE = re.compile(r"[0-9TZ.,:;=+ -]*|true|false")

type Span = tuple[int, int, str]


class Redactor:
    """Redact calls; `key` is the store's, `matches` finds the matches of the settings' pattern."""

    def __init__(self, key: bytes, matches: FindMatches | None = None) -> None:
        self._key = key
        self._matches = matches
        self.summary = Summary()

    def redact(self, call: Call) -> Call:
        """Return the call without data that identifies people, accounts and keys."""
        hidden = secrets_of(call)
        return masked(rewrite(call, self._pseudonyms(call.exchange, call.bodies.request, hidden)), hidden)

    def redact_line(self, exchange: Exchange, request: bytes | None, words: str) -> tuple[Exchange, str]:
        """Return the row of a call and words of its request, redacted; `request` is the body."""
        hidden = credentials_of(exchange)
        pseudonyms = self._pseudonyms(exchange, request, hidden)
        shown = rewrite_text(words, Place("request body"), pseudonyms)
        return masked_row(rewrite_exchange(exchange, pseudonyms), hidden), masked_text(shown, hidden)

    def redact_name(self, kind: str, name: str) -> str:
        """Return a name that calls have in common, such as their session, redacted."""
        return rewrite_text(name, PLACES.get(kind, Place(kind)), Pseudonyms(self._key, {}, self._matches))

    def _pseudonyms(self, exchange: Exchange, request: bytes | None, hidden: tuple[bytes, ...]) -> Pseudonyms:
        # A secret may contain what has another kind, such as an e-mail address: as a whole it is a secret.
        secrets = {secret.decode("utf-8", "replace"): "secret" for secret in hidden if len(secret) >= MIN_KNOWN_LENGTH}
        known = known_values(exchange, request) | secrets
        return Pseudonyms(self._key, known, self._matches, self.summary)


class Pseudonyms:
    """The replacements of one call; `known` are values to replace everywhere, with their kinds."""

    def __init__(
        self, key: bytes, known: dict[str, str], matches: FindMatches | None, summary: Summary | None = None
    ) -> None:
        self._key = key
        self._known = known
        self._matches = matches
        self._summary = summary if summary is not None else Summary()

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Return the replacements in one text."""
        if not text:
            return []
        name = place.name
        if name in FILE_MEMBERS and len(text) >= MIN_FILE_LENGTH and BASE64.fullmatch(text):
            return whole(text, self.placeholder("file", text.encode()))
        if "logprobs" in place.path and name in ("token", "bytes"):
            return whole(text, "*")  # repeats the answer's text in pieces too small to be searched
        kind = kind_of_member(place) or kind_of_header(place, text)
        spans = merged(self.spans(text))
        if kind is not None and [(start, end) for start, end, _ in spans] != [(0, len(text))]:
            self._summary.count(kind, text)
            return whole(text, self.pseudonym(kind, text))
        for start, end, found in spans:
            self._summary.count(found, text[start:end])
        self._summary.look(place, text, spans)
        return [Replacement(start, end, self.instead(kind, text[start:end])) for start, end, kind in spans]

    def binary(self, place: Place, data: bytes) -> bytes:
        """Return a placeholder, since the data cannot be searched."""
        return self.placeholder("application/octet-stream", data).encode()

    def spans(self, text: str) -> Iterator[Span]:
        """Yield the spans to replace in a text, with their kinds."""
        if "data:" in text:
            yield from ((match.start(), match.end(), match[1]) for match in DATA_URL.finditer(text))
        yield from ((found.start, found.end, "secret") for found in patterns.find(text))
        yield from personal.find(text)
        if "@" in text:
            yield from ((start, end, "email") for start, end in addresses(text))
        if "-" in text:
            yield from ((match.start(), match.end(), "account") for match in ACCOUNT_ID.finditer(text))
        for value, kind in self._known.items():
            yield from ((start, start + len(value), kind) for start in places_of(value, text))
        if self._matches is not None:
            yield from ((start, end, "match") for start, end in self._matches(text))

    def instead(self, kind: str, text: str) -> str:
        """Return the replacement of a piece of text."""
        if "/" in kind:
            return self.placeholder(kind, text.partition(",")[2].encode())
        return self.pseudonym(kind, text)

    def pseudonym(self, kind: str, value: str) -> str:
        """Return the pseudonym of a value; e-mail addresses are compared regardless of case."""
        return f"{kind}-{self.digest((value.lower() if kind == 'email' else value).encode('utf-8', 'surrogatepass'))}"

    def placeholder(self, kind: str, data: bytes) -> str:
        """Return the placeholder of a file: its type, its size, and a name that is the same for the same file."""
        size = len(data)
        if kind != "application/octet-stream":
            compact = re.sub(rb"[\s=]", b"", data)
            size = len(compact) * 3 // 4
        return f"[{kind}, {size} bytes, {self.digest(data)}]"

    def digest(self, value: bytes) -> str:
        """Return the digest of a value, keyed with this store's key."""
        return hashlib.blake2b(value, key=self._key, person=PERSON, digest_size=DIGITS // 2).hexdigest()


def kind_of_member(place: Place) -> str | None:
    """Return the kind of a member by its name, whatever its value; None for other names."""
    name = place.name
    if place.part.endswith("header"):
        return "account" if name in ACCOUNT_HEADERS else "user" if name in USER_HEADERS else None
    name = name.replace("-", "_")
    if name in USER_MEMBERS:
        return "user"
    if name in ACCOUNT_MEMBERS:
        return "account"
    names_secret = is_secret if place.part.endswith("query") else is_secret_member
    return "secret" if names_secret(name) else None


def kind_of_header(place: Place, value: str) -> str | None:
    """Return "secret" for a header that is named like one, unless it is a number, a time, or masked already."""
    if not place.part.endswith("header") or SECRET_HEADER.search(place.name) is None:
        return None
    return None if is_masked(place.name, value) or PLAIN_VALUE.fullmatch(value) else "secret"


def known_values(exchange: Exchange, request: bytes | None) -> dict[str, str]:
    """Return the values that identify the account and user of a call, with their kinds."""
    found: dict[str, str] = {}
    for headers in (exchange.request_headers, exchange.response_headers or ""):
        for line in header_lines(headers):
            name, _, value = line.partition(":")
            note_known(found, Place("header", (name,)), value.strip())
    try:
        body = json.loads(request or b"", parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return found
    outer = body if isinstance(body, dict) else {}
    metadata = outer.get("metadata")
    for members in (outer, metadata if isinstance(metadata, dict) else {}):
        for name, value in members.items():
            note_known(found, Place("body", (name,)), value)
    return found


def note_known(found: dict[str, str], place: Place, value: object) -> None:
    """Record an identifying value that is long enough not to be an ordinary word."""
    kind = kind_of_member(place)
    if kind in ("account", "user") and isinstance(value, str) and len(value) >= MIN_KNOWN_LENGTH:
        found.setdefault(value, kind)


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of e-mail addresses in a text."""
    for match in DOMAIN.finditer(text):
        local = LOCAL_PART.search(text, max(0, match.start() - 64), match.start())
        if local is not None:
            yield local.start(), match.end()


def places_of(value: str, text: str) -> Iterator[int]:
    """Yield the positions of a value in a text."""
    start = text.find(value)
    while start >= 0:
        yield start
        start = text.find(value, start + len(value))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order; overlapping ones are merged and have the kind of the first."""
    apart: list[Span] = []
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if apart and start < apart[-1][1]:
            before = apart[-1]
            apart[-1] = (before[0], max(before[1], end), before[2])
        else:
            apart.append((start, end, kind))
    return apart

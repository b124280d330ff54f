"""Decide who may see the console.

Its first address carries a token, which is exchanged for a cookie. The cookie contains its expiry and a signature with
a key of the store, so that it outlives the process, and nobody who cannot read the store can create one. Programs send
the token as `Authorization: Bearer …`.

A page of another origin gets nothing: browsers do not send it a `SameSite=Strict` cookie from another site, and their
requests from another port of this machine name its origin. A page that rebinds its own name to our address (DNS
rebinding) sends that name as the host.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moonpalace_addons.engine.own_addresses import is_own_name

COOKIE_LIFETIME = 7 * 86_400
"""Seconds."""
TICKET_LIFETIME = 60
"""Seconds for which the address that a browser is started with works, once: others can read the process list."""
PURPOSE = b"mpal web cookie"  # distinguishes signatures from fingerprints of API keys, which use the same key
SAME = (None, "same-origin", "none")
"""Values of `Sec-Fetch-Site` for requests by a program, by our own pages, and by the user."""
READING = ("GET", "HEAD")

type Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a request is refused."""

    status: int
    reason: str


class Access:
    """The token, the tickets and the cookies of one console."""

    def __init__(
        self,
        key: bytes,
        token: str | None = None,
        names: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self._key = key
        self._names = names
        self._clock = clock
        self._tickets: dict[str, float] = {}

    def ticket(self) -> str:
        """Return a token that can be used once."""
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = self._clock() + TICKET_LIFETIME
        return ticket

    def admits(self, token: str) -> bool:
        """Return whether a token may be exchanged for a cookie; a ticket is used up."""
        until = self._tickets.pop(token, 0.0)
        return same(token, self.token) or self._clock() < until

    def cookie(self) -> str:
        """Return a new cookie."""
        end = str(int(self._clock()) + COOKIE_LIFETIME)
        return f"{end}.{self._signature(end)}"

    def knows(self, cookie: str | None) -> bool:
        """Return whether a cookie is ours and has not expired."""
        end, _, signature = (cookie or "").partition(".")
        is_ours = end.isascii() and end.isdigit() and same(signature, self._signature(end))
        return is_ours and self._clock() < int(end)

    def is_bearer(self, headers: Headers) -> bool:
        """Return whether a program sends the token."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and same(token.strip(), self.token)

    def refusal(self, method: str, headers: Headers) -> Refusal | None:
        """Return why a request is refused even with a token; None if it is not."""
        host = headers.get("Host", "")
        if not is_own_name(host, self._names):
            return Refusal(421, f"the console is not called {host[:100]!r}: use the address that was printed")
        origin = headers.get("Origin")
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            return Refusal(403, "a page of another origin may not use the console")
        is_link = method in READING and headers.get("Sec-Fetch-Mode") == "navigate" and is_document(headers)
        if headers.get("Sec-Fetch-Site") not in SAME and not is_link:
            return Refusal(403, "a page of another origin may not use the console")
        if method not in READING and origin is None and not self.is_bearer(headers):
            return Refusal(403, "changes need the header Origin, or the token as Authorization: Bearer")
        return None

    def _signature(self, end: str) -> str:
        return hmac.new(self._key, PURPOSE + end.encode(), hashlib.sha256).hexdigest()


def is_document(headers: Headers) -> bool:
    """Return whether a request is for a top-level page, rather than for a frame or an object in another page."""
    return headers.get("Sec-Fetch-Dest") == "document"


def same(one: str, other: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))

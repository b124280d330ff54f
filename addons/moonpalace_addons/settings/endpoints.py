"""Endpoints: where calls are forwarded to, and what is sent with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.entries import Entry
from moonpalace_addons.wire.secrets import names

if TYPE_CHECKING:
    from moonpalace_addons.wire.prices import PriceRule

NAME_MARK = "/@"
"""What precedes the name of an endpoint at the beginning of a path."""
MEMBERS = ("url", "key", "headers", "prices")
ALLOWED = "names with URLs, such as kimi: https://api.moonshot.cn"
ENDPOINT = "a URL, or a mapping with url, key, headers and prices"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,39}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
RESERVED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
"""Headers that describe the message or the connection, which only the proxy knows."""


@dataclass(frozen=True)  # without slots, which have no room for what is cached
class Endpoint:
    """A base URL that calls are forwarded to, the key and the headers that are sent with them, and its outgoing proxy.

    Its name, if it has one, is that in config.yaml, under which clients reach it.
    """

    url: str
    name: str | None = None
    key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    proxy: str | None = field(default=None, repr=False)

    @cached_property
    def site(self) -> str:
        """Return the URL without a path."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def prefix(self) -> str:
        """Return the path that precedes those of calls, empty for most."""
        return urlsplit(self.url).path

    @cached_property
    def address(self) -> tuple[str, str, int]:
        """Return scheme, host and port."""
        parts = urlsplit(self.url)
        return parts.scheme, parts.hostname or "", parts.port or int(kinds.DEFAULT_PORTS[parts.scheme])

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Return the key, and the headers with credentials."""
        values = (value for name, value in self.headers if names.is_secret(name))
        return tuple(filter(None, (self.key, *values)))


def announced(base_url: str, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    """Yield a line for each endpoint with a name: the URL for clients, and the endpoint's."""
    for endpoint in endpoints:
        if endpoint.name is not None:
            yield f"{base_url.removesuffix('/v1')}{NAME_MARK}{endpoint.name} => {endpoint.url}"


def in_order(named: tuple[Endpoint, ...], given: str | None, default: str, key: str | None) -> tuple[Endpoint, ...]:
    """Return the endpoints, the one that clients reach without a name first.

    That is the one at the URL `given`, else the first that is named, else the default. It gets `key` unless it has its
    own.
    """
    if given is None and named:
        first = named[0]
    else:
        first = next((each for each in named if each.url == given), Endpoint(given or default))
    return replace(first, key=first.key or key), *(each for each in named if each is not first)


def read_endpoints(entry: Entry) -> tuple[tuple[Endpoint, ...], tuple[PriceRule, ...]]:
    """Return the endpoints in a mapping of names, and the rules for their prices; raise SettingError."""
    endpoints: list[Endpoint] = []
    prices: list[PriceRule] = []
    for name, given in entry.mapping(ALLOWED).items():
        if not is_name(name):
            given.fail("is not a name for an endpoint: use letters, digits, dots, - and _")
        members = {"url": given} if given.text is not None else given.mapping(ENDPOINT, MEMBERS)
        if "url" not in members:
            given.fail("must have url: the base URL of the API")
        key, sent = members.get("key"), members.get("headers")
        endpoints.append(Endpoint(url(members["url"]), name, secret(key) if key else None, headers(sent)))
        if "prices" in members:
            from moonpalace_addons.settings.prices import read_prices

            prices += read_prices(members["prices"], name)
    return tuple(endpoints), tuple(prices)


def is_name(text: str) -> bool:
    """Tell whether an endpoint, a destination or a rule may have this name."""
    return _NAME.fullmatch(text) is not None


def url(entry: Entry) -> str:
    """Return a base URL."""
    try:
        return kinds.ENDPOINT.parse(entry.scalar(kinds.ENDPOINT.allowed))
    except kinds.HintError as why:
        entry.fail(str(why))
    except ValueError:
        entry.fail(f"must be {kinds.ENDPOINT.allowed}")


def secret(entry: Entry) -> str:
    """Return a key; an error does not quote it."""
    try:
        return kinds.SECRET.parse(entry.scalar(kinds.SECRET.allowed))
    except ValueError:
        entry.fail(f"must be {kinds.SECRET.allowed}")


def headers(entry: Entry | None) -> tuple[tuple[str, str], ...]:
    """Return headers; an error does not quote their values."""
    found = list[tuple[str, str]]()
    for name, value in entry.mapping("headers with their values").items() if entry else ():
        text = value.scalar("the value of a header")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
            value.fail("is not a valid header")
        if name.lower() in RESERVED_HEADERS:
            value.fail("cannot be set: the proxy sets it for each request")
        found.append((name, text))
    return tuple(found)

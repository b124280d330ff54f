"""Client of the API's context caches: create, poll and delete."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow, Request, Response

from moonpalace_addons.mitm import own_requests
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.codings import encodings
from moonpalace_addons.wire.foreign import MAX_QUOTE, quoted
from moonpalace_addons.wire.json_value import parse, whole_number
from moonpalace_addons.wire.secrets import masking

CREATE_TIMEOUT = 60.0
"""Seconds within which a new cache must be ready."""
DELETE_TIMEOUT = 10.0
POLL_INTERVAL = 0.5
MAX_ERROR_LENGTH = 200
"""Characters of an API error that are quoted."""
UNSUPPORTED_STATUSES = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE)

MAX_ANSWER_SIZE = 1_000_000
"""Decoded bytes of an answer that are parsed."""
MAX_TOKENS = 2**53
MAX_TIME = 2.0**40
"""Seconds since the epoch; a later expiry time is ignored."""

type Send = Callable[[Request], Awaitable[HTTPFlow]]


@dataclass(frozen=True, slots=True)
class Account:
    """The owner of caches: an endpoint and a key. A cache is only used with its own account.

    `base` is the prefix of the API's paths, such as `/v1`.
    """

    endpoint: str
    fingerprint: str
    base: str = field(compare=False)
    key: bytes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """A cache as described by the API; `expires_at` is in seconds since the epoch, or None if not given."""

    cache_id: str
    status: str
    tokens: int | None
    expires_at: float | None


@dataclass(slots=True)
class Ready:
    """A usable cache. `expires_at` is a time of the monotonic clock, `uses` the number of uses not stored yet."""

    number: int
    cache_id: str
    messages: int
    expires_at: float
    uses: int = 0


class CachingError(Exception):
    """Raised if a cache cannot be created."""


class CachingUnsupportedError(CachingError):
    """Raised if the endpoint offers no caches."""


class CachingApi:
    """Client of the API's cache endpoints; `send` sends a request the way calls are sent."""

    def __init__(self, send: Send = own_requests.fetch) -> None:
        self._send = send

    async def create(self, account: Account, body: bytes) -> CacheInfo:
        """Create a cache, and return it once it is ready; raise CachingError after `CREATE_TIMEOUT` seconds."""
        try:
            async with asyncio.timeout(CREATE_TIMEOUT):
                flow = await self._request(account, "POST", "", body)
                if flow.response is not None and flow.response.status_code in UNSUPPORTED_STATUSES:
                    raise CachingUnsupportedError(f"{flow.response.status_code} to POST {account.base}/caching")
                cache = parse_cache(flow, account)
                while cache.status == "pending":
                    await asyncio.sleep(POLL_INTERVAL)
                    cache = parse_cache(await self._request(account, "GET", f"/{cache.cache_id}"), account)
        except TimeoutError:
            raise CachingError(f"no cache ready within {CREATE_TIMEOUT:g} s") from None
        if cache.status != "ready":
            raise CachingError(f"{cache.cache_id} has the status {quoted(cache.status, MAX_ERROR_LENGTH)!r}")
        return cache

    async def delete(self, account: Account, cache_id: str) -> bool:
        """Delete a cache, and tell whether the API confirmed it."""
        try:
            async with asyncio.timeout(DELETE_TIMEOUT):
                flow = await self._request(account, "DELETE", f"/{cache_id}")
        except TimeoutError:
            return False
        return flow.response is not None and flow.response.status_code < HTTPStatus.BAD_REQUEST

    async def _request(self, account: Account, method: str, path: str, body: bytes = b"") -> HTTPFlow:
        headers: dict[str | bytes, str | bytes] = {
            "Host": urlsplit(account.endpoint).netloc,
            "Authorization": f"Bearer {account.key.decode('utf-8', 'surrogateescape')}",
            "Accept": "application/json",
            "User-Agent": f"moonpalace/{__version__}",
        }
        if body:
            headers["Content-Type"] = "application/json"
        request = Request.make(method, f"{account.endpoint}{account.base}/caching{path}", body, headers)
        return await self._send(request)


def parse_cache(flow: HTTPFlow, account: Account) -> CacheInfo:
    """Return the cache described by an answer; raise CachingError for any other answer."""
    if flow.response is None or flow.error is not None:
        raise CachingError(quoted(flow.error.msg) if flow.error else "no answer")
    text = answer_text(flow.response)
    if flow.response.status_code >= HTTPStatus.BAD_REQUEST:
        shown = quoted(masking.mask_known(text[:MAX_QUOTE], [account.key]), MAX_ERROR_LENGTH)
        raise CachingError(f"{flow.response.status_code} {shown}")
    value = parse(text)
    if not isinstance(value, dict) or not is_cache_id(value.get("id")):
        raise CachingError("the answer describes no cache")
    tokens, expires = whole_number(value.get("tokens")), value.get("expired_at")
    is_time = isinstance(expires, int | float) and not isinstance(expires, bool) and 0 < expires < MAX_TIME
    return CacheInfo(
        value["id"],
        str(value.get("status", "ready")),
        tokens if tokens is not None and tokens < MAX_TOKENS else None,
        float(expires) if is_time and expires else None,
    )


def answer_text(response: Response) -> str:
    """Return the first `MAX_ANSWER_SIZE` bytes of a decoded answer as text, in bounded memory."""
    body, _ = encodings.decode(response.raw_content or b"", response.headers.get("content-encoding"), MAX_ANSWER_SIZE)
    return body[:MAX_ANSWER_SIZE].decode("utf-8", "replace")


def is_cache_id(value: object) -> bool:
    """Return whether a value is a valid cache ID: it becomes part of headers and paths."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= 200
        and value.isascii()
        and value.isprintable()
        and "/" not in value
    )

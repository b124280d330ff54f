"""Speak with the API's own caches: make one, wait until it is ready, delete it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow, Request, Response

from moonpalace_addons.mitm import own_requests
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.chat.completion import whole_number
from moonpalace_addons.wire.codings import encodings
from moonpalace_addons.wire.foreign import MAX_QUOTE, quoted
from moonpalace_addons.wire.json_value import parse
from moonpalace_addons.wire.secrets import masking

CREATE_LIMIT = 60.0
"""Seconds that the API may take to make a cache."""
DELETE_LIMIT = 10.0
POLL = 0.5
SHOWN = 200
"""Characters of an error of the API that are told."""
GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE)

MAX_TEXT = 1_000_000
"""Decoded bytes of an answer that are looked at."""
MAX_TOKENS = 2**53
MAX_TIME = 2.0**40
"""Seconds since the epoch: a time later than that is none."""

type Send = Callable[[Request], Awaitable[HTTPFlow]]


@dataclass(frozen=True, slots=True)
class Account:
    """Whose caches: an endpoint and a key, which other accounts' caches are never used with.

    `base` is the path that the API's paths begin with, such as `/v1`.
    """

    endpoint: str
    fingerprint: str
    base: str = field(compare=False)
    key: bytes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Made:
    """A cache as the API describes it; `expires_at` is in seconds since the epoch, None where it is not said."""

    cache_id: str
    status: str
    tokens: int | None
    expires_at: float | None


class CachingError(Exception):
    """Say why a cache could not be made."""


class CachingGoneError(CachingError):
    """Say that the endpoint has no caches to offer."""


class CachingApi:
    """Send the requests; `send` takes them to the endpoint, the way that calls go."""

    def __init__(self, send: Send = own_requests.fetch) -> None:
        self._send = send

    async def create(self, account: Account, body: bytes) -> Made:
        """Return the new cache once it is ready; raise CachingError if it is not within `CREATE_LIMIT` seconds."""
        try:
            async with asyncio.timeout(CREATE_LIMIT):
                flow = await self._ask(account, "POST", "", body)
                if flow.response is not None and flow.response.status_code in GONE:
                    raise CachingGoneError(f"{flow.response.status_code} to POST {account.base}/caching")
                made = read_made(flow, account)
                while made.status == "pending":
                    await asyncio.sleep(POLL)
                    made = read_made(await self._ask(account, "GET", f"/{made.cache_id}"), account)
        except TimeoutError:
            raise CachingError(f"no cache within {CREATE_LIMIT:g} s") from None
        if made.status != "ready":
            raise CachingError(f"{made.cache_id} has the status {quoted(made.status, SHOWN)!r}")
        return made

    async def delete(self, account: Account, cache_id: str) -> bool:
        """Delete a cache; tell whether the API says that it did."""
        try:
            async with asyncio.timeout(DELETE_LIMIT):
                flow = await self._ask(account, "DELETE", f"/{cache_id}")
        except TimeoutError:
            return False
        return flow.response is not None and flow.response.status_code < HTTPStatus.BAD_REQUEST

    async def _ask(self, account: Account, method: str, path: str, body: bytes = b"") -> HTTPFlow:
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


def read_made(flow: HTTPFlow, account: Account) -> Made:
    """Return the cache that an answer describes; raise CachingError for any other answer."""
    if flow.response is None or flow.error is not None:
        raise CachingError(quoted(flow.error.msg) if flow.error else "no answer")
    text = answer_text(flow.response)
    if flow.response.status_code >= HTTPStatus.BAD_REQUEST:
        shown = quoted(masking.mask_known(text[:MAX_QUOTE], [account.key]), SHOWN)
        raise CachingError(f"{flow.response.status_code} {shown}")
    value = parse(text)
    if not isinstance(value, dict) or not is_id(value.get("id")):
        raise CachingError("an answer that describes no cache")
    tokens, expires = whole_number(value.get("tokens")), value.get("expired_at")
    is_time = isinstance(expires, int | float) and not isinstance(expires, bool) and 0 < expires < MAX_TIME
    return Made(
        value["id"],
        str(value.get("status", "ready")),
        tokens if tokens is not None and tokens < MAX_TOKENS else None,
        float(expires) if is_time and expires else None,
    )


def answer_text(response: Response) -> str:
    """Return the beginning of what an answer says, however large it would be decoded."""
    body, _ = encodings.decode(response.raw_content or b"", response.headers.get("content-encoding"), MAX_TEXT)
    return body[:MAX_TEXT].decode("utf-8", "replace")


def is_id(value: object) -> bool:
    """Tell whether a value can be a cache's id: it becomes a part of headers and paths."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= 200
        and value.isascii()
        and value.isprintable()
        and "/" not in value
    )

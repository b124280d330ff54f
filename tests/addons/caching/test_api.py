"""Requests to the caching API, and the handling of its answers."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.test import tflow

from moonpalace_addons.caching import api as caching_api
from moonpalace_addons.caching.api import (
    Account,
    CacheInfo,
    CachingApi,
    CachingError,
    CachingUnsupportedError,
    answer_text,
    is_cache_id,
    parse_cache,
)
from tests.hostile import HOSTILE_LINES, assert_quoted

KEY = b"sk-Secret-0123456789"
ACCOUNT = Account("https://api.moonshot.cn", "f" * 16, "/v1", KEY)
BODY = b'{"messages":[]}'


def answering(*answers: Response | str) -> tuple[CachingApi, list[Request]]:
    """Return an API with these answers (a string is a connection error), and the list of its requests."""
    left, asked = list(answers), list[Request]()

    async def send(request: Request) -> HTTPFlow:
        asked.append(request)
        answer = left.pop(0)
        flow = tflow.tflow()
        if isinstance(answer, str):
            flow.error = Error(answer)
        else:
            flow.response = answer
        return flow

    return CachingApi(send), asked


def described(status: str, **more: object) -> Response:
    """Return an answer that describes a cache."""
    return Response.make(200, json.dumps({"id": "cache-1", "status": status, **more}))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll without a delay."""
    monkeypatch.setattr(caching_api, "POLL_INTERVAL", 0)


def test_create() -> None:
    """The request is sent to the endpoint with the key, and the answer describes the cache."""
    api, asked = answering(described("ready", tokens=7, expired_at=123.5))
    made = asyncio.run(api.create(ACCOUNT, BODY))
    assert made == CacheInfo("cache-1", "ready", 7, 123.5)
    (request,) = asked
    assert (request.method, request.pretty_url) == ("POST", "https://api.moonshot.cn/v1/caching")
    assert (request.content, request.headers["Authorization"]) == (BODY, f"Bearer {KEY.decode()}")
    assert (request.headers["Host"], request.headers["Content-Type"]) == ("api.moonshot.cn", "application/json")


@pytest.mark.parametrize("number", ["9" * 400, "-1", "1e400", "NaN", '"soon"', "true"])
def test_numbers_past_all_bounds(number: str) -> None:
    """Invalid token counts and expiry times are ignored."""
    body = f'{{"id": "cache-1", "status": "ready", "tokens": {number}, "expired_at": {number}}}'
    api, _ = answering(Response.make(200, body))
    made = asyncio.run(api.create(ACCOUNT, BODY))
    assert made == CacheInfo("cache-1", "ready", None, None)


def test_pending() -> None:
    """A pending cache is polled until it is ready."""
    api, asked = answering(described("pending"), described("pending"), described("ready"))
    assert asyncio.run(api.create(ACCOUNT, BODY)).status == "ready"
    assert [request.method for request in asked] == ["POST", "GET", "GET"]
    assert asked[-1].pretty_url == "https://api.moonshot.cn/v1/caching/cache-1"


@pytest.mark.parametrize("status", [404, 405, 410])
def test_gone(status: int) -> None:
    """These statuses mean that the endpoint offers no caches."""
    api, _ = answering(Response.make(status, b"{}"))
    with pytest.raises(CachingUnsupportedError, match=f"{status} to POST /v1/caching"):
        asyncio.run(api.create(ACCOUNT, BODY))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("connection refused", "connection refused"),
        (Response.make(500, b'{"error":\n"x"}'), '500 {"error": "x"}'),
        (Response.make(401, b"bad key " + KEY), r"401 bad key \*+$"),
        (Response.make(200, b"<html>"), "the answer describes no cache"),
        (Response.make(200, b"[]"), "the answer describes no cache"),
        (Response.make(200, b'{"id": "a/../b"}'), "the answer describes no cache"),
        (described("error"), "cache-1 has the status 'error'"),
        (described("inactive"), "cache-1 has the status 'inactive'"),
    ],
)
def test_failures(answer: Response | str, why: str) -> None:
    """Any other answer is a one-line error, without the key."""
    api, _ = answering(answer)
    with pytest.raises(CachingError, match=why) as caught:
        asyncio.run(api.create(ACCOUNT, BODY))
    assert not isinstance(caught.value, CachingUnsupportedError)
    assert "\n" not in str(caught.value)
    assert KEY.decode() not in str(caught.value)


@pytest.mark.parametrize("answer", [HOSTILE_LINES, Response.make(500, HOSTILE_LINES), described(HOSTILE_LINES[:1000])])
def test_failures_are_quoted_with_care(answer: Response | str) -> None:
    """An error of a connection, an answer or a status becomes one short line in the log, without secrets."""
    api, _ = answering(answer)
    with pytest.raises(CachingError) as caught:
        asyncio.run(api.create(ACCOUNT, BODY))
    assert_quoted(str(caught.value))


def never() -> Callable[[Request], Awaitable[HTTPFlow]]:
    """Return a `send` that gets no answer."""

    async def send(_: Request) -> HTTPFlow:
        await asyncio.Event().wait()
        raise AssertionError

    return send


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to an API that does not answer time out."""
    monkeypatch.setattr(caching_api, "CREATE_TIMEOUT", 0.01)
    monkeypatch.setattr(caching_api, "DELETE_TIMEOUT", 0.01)
    with pytest.raises(CachingError, match=r"no cache ready within 0\.01 s"):
        asyncio.run(CachingApi(never()).create(ACCOUNT, BODY))
    assert asyncio.run(CachingApi(never()).delete(ACCOUNT, "cache-1")) is False


@pytest.mark.parametrize(("answer", "done"), [(Response.make(200), True), (Response.make(404), False), ("x", False)])
def test_delete(answer: Response | str, done: bool) -> None:
    """A cache is deleted by its ID; the answer tells whether it was."""
    api, asked = answering(answer)
    assert asyncio.run(api.delete(ACCOUNT, "cache-1")) is done
    assert (asked[0].method, asked[0].path) == ("DELETE", "/v1/caching/cache-1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("cache-1", True), ("", False), ("a\r\nb", False), ("a/b", False), ("é", False), ("a" * 201, False), (1, False)],
)
def test_ids(value: object, expected: bool) -> None:
    """An ID must be valid in headers and paths."""
    assert is_cache_id(value) is expected


def test_accounts() -> None:
    """Accounts are compared by endpoint and fingerprint; the repr contains no key."""
    assert Account("https://api.moonshot.cn", "f" * 16, "/proxied/v1", b"other") == ACCOUNT
    assert Account("https://api.moonshot.ai", "f" * 16, "/v1", KEY) != ACCOUNT
    assert Account("https://api.moonshot.cn", "0" * 16, "/v1", KEY) != ACCOUNT
    assert KEY.decode() not in repr(ACCOUNT)


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("expired_at", "9" * 400, None),
        ("expired_at", "1e400", None),
        ("expired_at", "-5", None),
        ("expired_at", "true", None),
        ("expired_at", "1800000000", 1800000000.0),
        ("tokens", "9" * 400, None),
        ("tokens", "-1", None),
        ("tokens", "7", 7),
    ],
)
def test_numbers_that_are_none(member: str, value: str, expected: float | None) -> None:
    """A number out of range is ignored, and the cache is still used."""
    flow = tflow.tflow()
    flow.response = Response.make(200, f'{{"id": "cache-1", "{member}": {value}}}')
    made = parse_cache(flow, ACCOUNT)
    assert (made.expires_at if member == "expired_at" else made.tokens) == expected


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"id":' * 100_000, b'{"id": "cache-1", "a": ' + b"[" * 100_000])
def test_deep_nesting_describes_no_cache(content: bytes) -> None:
    """Deeply nested JSON is an error like any other unreadable answer."""
    flow = tflow.tflow()
    flow.response = Response.make(200, content)
    with pytest.raises(CachingError):
        parse_cache(flow, ACCOUNT)


def test_no_more_is_decoded_than_is_looked_at() -> None:
    """Only the beginning of a refusal is decoded, because kilobytes can decode to gigabytes."""
    bomb = gzip.compress(b"prompt_cache_key " * 2_000_000)
    response = Response.make(400, b"", {"Content-Encoding": "gzip"})
    response.raw_content = bomb
    tracemalloc.start()
    try:
        text = answer_text(response)
        assert tracemalloc.get_traced_memory()[1] < 6 * caching_api.MAX_ANSWER_SIZE
    finally:
        tracemalloc.stop()
    assert text.startswith("prompt_cache_key ")
    assert len(text) == caching_api.MAX_ANSWER_SIZE

"""`--auto-cache` with other options, and `--cache-key-hint`: each test has its own proxy."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import openai
import pytest

from tests.e2e.cache_user import CACHED, CACHING, CHAT, MODEL, QUICK, Messages, User, ask_at_once, history
from tests.e2e.launching import Launcher
from tests.scenarios.server import MockServer
from tests.waiting import until

type Start = Callable[..., AbstractContextManager[User]]

BOTH = pytest.mark.parametrize("mode", ["--no-force-stream", "--force-stream"], ids=["plain", "forced"])
"""For what changes or delays requests, where forced streams have a part in it."""


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    """Provide a mock that all tests share: each has a key of its own, and with it caches of its own."""
    with MockServer(times=QUICK) as server:
        yield server


@pytest.fixture
def mode() -> str:
    """Provide the flag that forces streams, unless a test is run with the other one too."""
    return "--force-stream"


@pytest.fixture
def start(launch: Launcher, mock: MockServer, mode: str, key: str) -> Start:
    """Provide what starts a proxy of the test's own, and gives a user of it."""

    @contextmanager
    def started(*options: str, folder: Path | None = None, cached: bool = True) -> Iterator[User]:
        flags = CACHED if cached else ()
        with launch.start(*flags, mode, *options, endpoint=mock.url, folder=folder) as proxy:
            yield User(proxy, mock, key)

    return started


def test_an_expired_cache_is_made_again(start: Start) -> None:
    """An expired cache is not used, and a new one is created in the same row."""
    with start("--cache-ttl", "2") as user:
        user.ask(history(1))
        (cache,) = user.ready()
        until(lambda: time.time() * 1e6 > cache.expires_at)
        user.ask(history(1))
        (again,) = until(lambda: [row for row in user.caches() if row.cache_id not in (None, cache.cache_id)])
        assert user.outcomes(2) == ["created", "created"]
    assert again.id == cache.id
    assert len(user.served()) == 2


def test_an_api_that_does_not_answer(start: Start) -> None:
    """While the caching API is silent, calls do not wait for it; the proxy stops normally."""
    with start() as user:
        for turn in (1, 2):
            assert user.ask(history(turn), model="mock-cache-stall") == (f"question {turn}", 0)
        assert user.outcomes(2) == ["created", "created"]
        assert max(row.latency or 0 for row in user.rows(2)) < 30e9
        assert [cache.state for cache in user.caches()] == ["creating", "creating"]
        user.proxy.stop()
        assert user.caches() == []


@BOTH
def test_waiting(start: Start) -> None:
    """With --cache-wait the first call uses its own cache, once that is ready."""
    with start("--cache-wait", "30") as user:
        for number, model in enumerate(("mock-cache", "mock-cache-pending", "mock-cache-slow"), 1):
            text, cached = user.ask(history(1), model=model)
            row, cache = user.rows(number)[-1], user.caches()[-1]
            assert (text, cached) == ("question 1", cache.tokens)
            assert (row.cache_outcome, row.context_cache_id) == ("created", cache.cache_id)


def test_waiting_for_nothing(start: Start) -> None:
    """If no cache can be created the wait ends, and the row does not say that one was created."""
    with start("--cache-wait", "60") as user:
        assert user.ask(history(1), model="mock-cache-404") == ("question 1", 0)
        (row,) = user.rows(1)
        assert (row.cache_outcome, row.context_cache_id) == ("miss", None)
        assert (row.latency or 0) < 30e9


def test_waiting_has_a_bound(start: Start) -> None:
    """A cache that is not ready in time is not used, but still created."""
    with start("--cache-wait", "0.2") as user:
        assert user.ask(history(1), model="mock-cache-pending") == ("question 1", 0)
        user.ready()
        assert user.ask(history(2), model="mock-cache-pending")[1] > 0
        assert user.outcomes(2) == ["created", "hit"]


def test_two_proxies_on_one_store(start: Start, launch: Launcher) -> None:
    """Two proxies on one store create one cache together, and both use it; so does one that starts later."""
    folder = launch.folder()
    with start(folder=folder) as user, start(folder=folder) as other:
        assert asyncio.run(ask_at_once([user.proxy.url, other.proxy.url], user.key, 40)) == [200] * 40
        (cache,) = user.ready()
        assert [each.ask(history(2))[1] for each in (user, other)] == [cache.tokens] * 2
    with start(folder=folder) as later:
        assert later.ask(history(3))[1] == cache.tokens
        assert later.caches()[0].uses >= 2
    assert len(user.served()) == 1


def test_a_locked_store_delays_no_call(start: Start) -> None:
    """While another process locks the store, calls are answered immediately; a cache is created afterwards."""
    with start() as user:
        with user.proxy.engine.connect().execution_options(immediate=True) as connection, connection.begin():
            began = time.monotonic()
            assert user.ask(history(1)) == ("question 1", 0)
            assert time.monotonic() - began < 4
            assert user.served() == []
        user.ready()


def test_unused_caches_are_deleted(start: Start) -> None:
    """A cache that was not used for --cache-cleanup seconds is forgotten, and deleted at the API."""
    with start("--cache-ttl", "600", "--cache-cleanup", "1") as user:
        user.ask(history(1))
        (call,) = until(user.deleted)
        until(lambda: not user.caches())
        user.ask(history(2))
        assert user.outcomes(2) == ["created", "created"]
    assert call.path.startswith(f"{CACHING}/cache-")
    assert call.status == 200


@BOTH
def test_the_hint(start: Start) -> None:
    """--cache-key-hint adds a key that stays the same during a conversation, unless the client sent one."""
    other: Messages = [*history(1)[:1], {"role": "user", "content": "something else"}]
    with start("--cache-key-hint", cached=False) as user:
        for messages in (history(1), history(2), other):
            user.ask(messages)
        user.ask(history(1), prompt_cache_key="mine")
        rows = user.rows(4)
        kept = [json.loads(user.proxy.bodies(row).request or b"").get("prompt_cache_key") for row in rows]
    keys = [json.loads(call.body)["prompt_cache_key"] for call in user.served(CHAT)]
    assert keys[0] == keys[1] != keys[2]
    assert (keys[3], kept) == ("mine", [None, None, None, "mine"])
    assert ["body: prompt_cache_key added" in row.changes for row in rows] == [True, True, True, False]
    assert [row.cache_outcome for row in rows] == [None] * 4
    assert user.served() == []


@BOTH
def test_a_refused_hint(start: Start) -> None:
    """If an API rejects hints, one call is retried; later calls have no hint, and the rows say so."""
    with start("--cache-key-hint", cached=False) as user:
        for turn in (1, 2):
            assert user.ask(history(turn), model="mock-no-hints")[0] == f"question {turn}"
        user.proxy.log.wait_for("refuses prompt_cache_key; calls continue without it for an hour")
        rows = user.rows(2)
    calls = user.served(CHAT)
    assert [call.status for call in calls] == [400, 200, 200]
    assert ["prompt_cache_key" in json.loads(call.body) for call in calls] == [True, False, False]
    assert [row.status_code for row in rows] == [200, 200]
    assert ["body: prompt_cache_key added" in row.changes for row in rows] == [True, False]
    assert ["prompt_cache_key with 400" in str(row.warnings) for row in rows] == [True, False]


@BOTH
def test_an_error_beside_a_hint(start: Start) -> None:
    """An error that is not about the hint reaches the client unchanged, and the hint stays."""
    with start("--cache-key-hint", cached=False) as user:
        with pytest.raises(openai.BadRequestError, match="max_tokens must be"):
            user.ask(history(1), max_tokens=0)
        user.ask(history(1))
    assert ["prompt_cache_key" in json.loads(call.body) for call in user.served(CHAT)] == [True, True]


def test_under_mitmdump(launch: Launcher, mock: MockServer, key: str) -> None:
    """The bundle does all of this in mitmdump too, including retries; its own requests are not stored as calls."""
    options = {"endpoint": mock.url, "auto_cache": "true", "cache_min_bytes": "1000", "cache_wait": "30"}
    flags = [part for name, value in options.items() for part in ("--set", f"moonpalace_{name}={value}")]
    with launch.mitmproxy("mitmdump", "-p", "0", *flags) as dump:
        user = User(dump, mock, key)
        for model in (MODEL, "mock-cache-lost"):
            user.ask(history(1), model=model)
            user.ask(history(2), model=model, stream=True)
        assert user.outcomes(4) == ["created", "hit", "refused", "refused"]
        assert len(dump.rows(4)) == 4
    assert len(user.served()) == 3

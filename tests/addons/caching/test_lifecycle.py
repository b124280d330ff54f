"""Selection, creation, pauses, renewal and deletion of caches."""

import asyncio
import json
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.test import tflow

from moonpalace_addons.caching import lifecycle
from moonpalace_addons.caching.api import Account, CachingApi
from moonpalace_addons.caching.lifecycle import Caches
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import context_caches as records
from moonpalace_addons.store.records.cache_access import CacheAccess
from moonpalace_addons.wire.chat.prefix import Content, Prefix, prefixes, read_content
from tests.waiting import PATIENCE

ACCOUNT = Account("https://api", "f" * 16, "/v1", b"sk-Secret-0123456789")
OTHER = Account("https://api", "0" * 16, "/v1", b"sk-Another-0123456789")


class Upstream:
    """An API that creates caches, or gives configured answers; `held` delays them."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.status = 200
        self.expired_at: float | None = None
        self.held: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def __call__(self, request: Request) -> HTTPFlow:
        """Answer a request."""
        self.asked.append(request)
        self.reached.set()
        if self.held is not None:
            await self.held.wait()
        flow = tflow.tflow()
        body = {"id": f"cache-{len(self.asked)}", "status": "ready", "tokens": 5, "expired_at": self.expired_at}
        flow.response = Response.make(self.status, json.dumps(body))
        return flow

    def methods(self) -> list[str]:
        """Return the methods of the requests."""
        return [request.method for request in self.asked]


class Clock:
    """Stopped clocks for the module; `step` is by how much the wall clock was set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.step = 0.0

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return self.now + self.step

    def time_ns(self) -> int:
        """Return the nanoseconds since the epoch."""
        return int(self.time() * 1e9)

    def monotonic(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self.now - 1_799_990_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Provide the module's clock."""
    clock = Clock()
    monkeypatch.setattr(lifecycle, "time", clock)
    return clock


@pytest.fixture
def upstream() -> Upstream:
    """Provide the API."""
    return Upstream()


type Test = Callable[[Caches], Awaitable[None]]
type Run = Callable[[Test], list[records.ContextCache]]


@pytest.fixture
def run(tmp_path: Path, empty_store: Path, upstream: Upstream) -> Iterator[Run]:
    """Provide a function that runs a test on caches in an empty store, closes them, and returns the remaining rows."""
    engine = open_store(f"sqlite:///{shutil.copy(empty_store, tmp_path)}")

    def running(test: Test) -> list[records.ContextCache]:
        async def whole() -> None:
            caches = Caches(CacheAccess(engine), CachingApi(upstream), ttl=60, cleanup=600)
            try:
                await test(caches)
            finally:
                await caches.close()

        asyncio.run(whole())
        return records.all_caches(engine)

    yield running
    engine.dispose()


def content_of(turns: int) -> tuple[Content, list[Prefix]]:
    """Return a request with this many messages, and its prefixes."""
    messages = [{"role": "user", "content": f"{turn} " * 50} for turn in range(turns)]
    content = read_content(json.dumps({"model": "kimi-k3", "messages": messages}).encode())
    assert content is not None
    return content, prefixes(content)


async def make(caches: Caches, turns: int = 4, account: Account = ACCOUNT) -> str | None:
    """Create a cache, and return its ID."""
    content, found = content_of(turns)
    task = caches.make(account, content, found[0])
    ready = await task if task is not None else None
    return ready.cache_id if ready is not None else None


async def find(caches: Caches, turns: int = 4, account: Account = ACCOUNT) -> str | None:
    """Return the ID of the cache found for a request."""
    ready = await caches.find(account, content_of(turns)[1])
    return ready.cache_id if ready is not None else None


@pytest.mark.usefixtures("clock")
def test_longest(run: Run) -> None:
    """The longest cache that covers more than half is found, but not a shorter one or another account's."""

    async def test(caches: Caches) -> None:
        assert await find(caches) is None
        assert [await make(caches, turns) for turns in (2, 3, 4)] == ["cache-1", "cache-2", "cache-3"]
        assert [await find(caches, turns) for turns in (2, 3, 4, 5, 7, 8)] == [
            "cache-1",
            "cache-2",
            "cache-3",
            "cache-3",
            "cache-3",
            None,
        ]
        assert await find(caches, account=OTHER) is None

    assert [row.state for row in run(test)] == ["ready"] * 3


@pytest.mark.usefixtures("clock")
def test_another_proxy(run: Run, upstream: Upstream) -> None:
    """A cache that another proxy created is found in the store, and not created again."""

    async def first(caches: Caches) -> None:
        await make(caches)

    async def second(caches: Caches) -> None:
        assert await make(caches) is None
        assert await find(caches) == "cache-1"

    run(first)
    run(second)
    assert upstream.methods() == ["POST"]


@pytest.mark.parametrize(("answer", "life"), [(None, 60), (30, 30), (90, 60), (-5, 60)])
def test_life(run: Run, upstream: Upstream, clock: Clock, answer: float | None, life: float) -> None:
    """A cache is used until shortly before its expiry, by our clock or the API's; using it renews it."""
    began = clock.now
    upstream.expired_at = None if answer is None else began + answer

    async def test(caches: Caches) -> None:
        await make(caches)
        clock.now = began + life - 1.5
        ready = await caches.find(ACCOUNT, content_of(4)[1])
        assert ready is not None
        caches.used(ACCOUNT, ready)
        clock.now += 58
        assert await find(caches) == "cache-1"
        clock.now += 2
        assert await find(caches) is None

    (row,) = run(test)
    assert row.expires_at == pytest.approx((began + life - 1.5 + 60) * 1e6, abs=10)


@pytest.mark.parametrize("step", [2000.0, -2000.0])
def test_life_does_not_depend_on_the_wall_clock(run: Run, clock: Clock, step: float) -> None:
    """Setting the wall clock does not change the age of a cache, whether created, loaded or used."""

    async def test(caches: Caches) -> None:
        await make(caches)
        clock.now, clock.step = clock.now + 58, step
        ready = await caches.find(ACCOUNT, content_of(4)[1])
        assert ready is not None
        caches.used(ACCOUNT, ready)
        await caches.flush()
        clock.now += 58
        assert await find(caches) == "cache-1"
        clock.now += 2
        assert await find(caches) is None

    (row,) = run(test)
    assert row.expires_at == pytest.approx(clock.time() * 1e6, abs=10)


@pytest.mark.usefixtures("clock")
def test_one_at_a_time(run: Run, upstream: Upstream) -> None:
    """While a cache is being created, other calls do not create it again, and can wait for it."""

    async def test(caches: Caches) -> None:
        upstream.held = asyncio.Event()
        content, found = content_of(4)
        task = caches.make(ACCOUNT, content, found[0])
        assert caches.make(ACCOUNT, content, found[0]) is None
        assert caches.making(ACCOUNT, found[0]) is task is not None
        assert await find(caches) is None
        upstream.held.set()
        assert await task is not None
        assert caches.making(ACCOUNT, found[0]) is None

    run(test)
    assert upstream.methods() == ["POST"]


def test_failures_are_put_off(run: Run, upstream: Upstream, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """After a failure, creation pauses for the account, for twice as long each time; other accounts are unaffected."""
    upstream.status = 500

    async def test(caches: Caches) -> None:
        for pause in (10, 20, 40):
            assert await make(caches) is None
            clock.now += pause - 1
            assert caches.make(ACCOUNT, content_of(4)[0], content_of(4)[1][0]) is None
            clock.now += 1
        upstream.status = 200
        assert await make(caches, account=OTHER) is not None
        assert await make(caches) is not None

    assert len(run(test)) == 2
    assert upstream.methods() == ["POST"] * 5
    assert caplog.text.count("creation failed") == 3


def test_an_api_without_caches(run: Run, upstream: Upstream, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint without caches is logged once, and asked again after an hour."""
    upstream.status = 404

    async def test(caches: Caches) -> None:
        tasks = [caches.make(ACCOUNT, content_of(turns)[0], content_of(turns)[1][0]) for turns in (2, 3, 4)]
        await asyncio.gather(*(task for task in tasks if task is not None))
        clock.now += 3599
        assert caches.make(ACCOUNT, content_of(4)[0], content_of(4)[1][0]) is None
        clock.now += 1
        assert caches.make(ACCOUNT, content_of(4)[0], content_of(4)[1][0]) is not None

    assert run(test) == []
    assert caplog.text.count("offers no caches for this key") == 1
    assert "--cache-key-hint" in caplog.text


@pytest.mark.usefixtures("clock")
def test_drop(run: Run) -> None:
    """A cache that the API refuses is dropped from memory and from the store."""

    async def test(caches: Caches) -> None:
        await make(caches)
        ready = await caches.find(ACCOUNT, content_of(4)[1])
        assert ready is not None
        caches.drop(ACCOUNT, ready)
        assert caches.make(ACCOUNT, *_of(4)) is not None

    run(test)


@pytest.mark.usefixtures("clock")
def test_a_dropped_cache_is_not_found_again(run: Run) -> None:
    """The next call does not get it, though its row may still be in the store; a new one can be created then."""

    async def test(caches: Caches) -> None:
        await make(caches)
        ready = await caches.find(ACCOUNT, content_of(4)[1])
        assert ready is not None
        await caches.access.write(lambda _: None)  # the cache is in the store
        goes_on = threading.Event()
        caches.access.write_later(lambda _: goes_on.wait(PATIENCE))
        caches.drop(ACCOUNT, ready)
        assert await find(caches) is None
        goes_on.set()
        assert await make(caches) == await find(caches) == "cache-2"

    run(test)


def _of(turns: int) -> tuple[Content, Prefix]:
    content, found = content_of(turns)
    return content, found[0]


@pytest.mark.usefixtures("clock")
def test_a_cache_that_was_cleared(run: Run, upstream: Upstream) -> None:
    """If the row of a used cache is gone when its use is stored, the cache is deleted at the API."""

    async def test(caches: Caches) -> None:
        await make(caches)
        ready = await caches.find(ACCOUNT, content_of(4)[1])
        assert ready is not None
        caches.used(ACCOUNT, ready)
        await caches.access.write(records.clear)
        await caches.flush()
        assert await find(caches) is None

    assert run(test) == []
    assert upstream.methods() == ["POST", "DELETE"]
    assert upstream.asked[-1].path == "/v1/caching/cache-1"


def test_clean_up(run: Run, upstream: Upstream, clock: Clock) -> None:
    """Unused caches are dropped, and deleted at the API if their key is known."""

    async def test(caches: Caches) -> None:
        await make(caches)
        clock.now += 599
        await caches.clean_up()
        assert upstream.methods() == ["POST"]
        clock.now += 2
        await caches.clean_up()

    assert run(test) == []
    assert upstream.methods() == ["POST", "DELETE"]


@pytest.mark.usefixtures("clock")
def test_stopping(run: Run, upstream: Upstream) -> None:
    """A creation cancelled by the shutdown leaves no row that would keep others from creating the cache."""

    async def test(caches: Caches) -> None:
        upstream.held = asyncio.Event()
        assert caches.make(ACCOUNT, *_of(4)) is not None
        await upstream.reached.wait()

    assert run(test) == []


@pytest.mark.parametrize("closes", [False, True])
def test_a_row_is_corrected(run: Run, monkeypatch: pytest.MonkeyPatch, closes: bool) -> None:
    """A row with a wrong outcome `created` is corrected as soon as it is written, or at the end."""
    monkeypatch.setattr(lifecycle, "CORRECTION_DELAYS", (60.0,) if closes else (0.0, 0.0, 0.0))
    looked: list[str] = []

    def withdraw_created(_: object, uuid: str) -> bool:
        looked.append(uuid)
        return len(looked) == 2

    monkeypatch.setattr(records, "withdraw_created", withdraw_created)

    async def test(caches: Caches) -> None:
        caches.none_made("u")
        if not closes:
            await asyncio.gather(*caches._corrections.values())

    run(test)
    assert looked == (["u"] if closes else ["u", "u"])

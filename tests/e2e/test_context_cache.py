"""`--auto-cache` over real sockets, with the openai SDK: what is cached, used, refused, and that no answer is lost."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import openai
import pytest

from moonpalace_addons.store.records import context_caches, identity
from moonpalace_addons.store.records.context_caches import ContextCache
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire import secrets
from moonpalace_cli.mock.scenarios import Times
from moonpalace_cli.mock.served import Served
from moonpalace_cli.mock.server import MockServer

if TYPE_CHECKING:
    from tests.e2e.conftest import Launcher, Proxy

type Messages = list[dict[str, object]]
type Start = Callable[..., AbstractContextManager[User]]

CHAT = "/v1/chat/completions"
CACHING = "/v1/caching"
MODEL = "mock-cache"
CACHED = ("--auto-cache", "--cache-min-bytes", "1000")
QUICK = Times(loop=0, slow=0, headers=0.5, split=0, reset=0.02)
PATIENCE = 60.0
MODES = ("--no-force-stream", "--force-stream")
# httpx otherwise loads all authorities for each client, though none of these speaks TLS.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Clock:
    """The mock's clock, which a test can put forward."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        """Return the seconds since 1970."""
        return time.time() + self.offset


@pytest.fixture(scope="module")
def clock() -> Clock:
    """Provide the mock's clock."""
    return Clock()


@pytest.fixture(scope="module")
def mock(clock: Clock) -> Iterator[MockServer]:
    """Provide a mock that all tests share: each has a key of its own, and with it caches of its own."""
    with MockServer(times=QUICK, clock=clock) as server:
        yield server


@pytest.fixture(scope="module", params=MODES, ids=["plain", "forced"])
def mode(request: pytest.FixtureRequest) -> str:
    """Provide the flag that forces streams, and the one that does not."""
    return str(request.param)


@pytest.fixture(scope="module")
def shared(launch: Launcher, mock: MockServer, mode: str) -> Iterator[Proxy]:
    """Provide a proxy that caches, shared by the tests that need no other options."""
    with launch.start(*CACHED, "--cache-ttl", "90", mode, endpoint=mock.url) as proxy:
        yield proxy


@dataclass
class User:
    """Somebody with a key of its own who asks a proxy with the SDK, and sees what becomes of the calls."""

    proxy: Proxy
    mock: MockServer
    key: str

    @property
    def name(self) -> str:
        """Return what the user's calls are marked with; a key would be masked in the rows."""
        return self.key.removeprefix("sk-")

    def ask(
        self, messages: Messages, *, model: str = MODEL, stream: bool = False, key: str = "", **more: object
    ) -> tuple[str, int]:
        """Return the text of the answer and the cached tokens of its usage."""
        headers = {"X-Request-Id": self.name}
        with openai.OpenAI(
            base_url=f"{self.proxy.url}/v1",
            api_key=key or self.key,
            max_retries=0,
            timeout=PATIENCE,
            default_headers=headers,
        ) as sdk:
            request = {"model": model, "messages": messages, "stream": stream, **more}
            if stream:
                request["stream_options"] = {"include_usage": True}
            answer = sdk.chat.completions.create(**request)  # type: ignore[call-overload]
            if not stream:
                return answer.choices[0].message.content, answer.usage.prompt_tokens_details.cached_tokens
            chunks = list(answer)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return text, chunks[-1].usage.prompt_tokens_details.cached_tokens

    def rows(self, count: int) -> list[Exchange]:
        """Return the rows of the user's calls, oldest first, once there are so many and all are over."""
        return self.proxy.rows(count, of={"client_request_id": self.name})

    def outcomes(self, count: int) -> list[str | None]:
        """Return what came of so many calls."""
        return [row.cache_outcome for row in self.rows(count)]

    def caches(self) -> list[ContextCache]:
        """Return the rows of the user's caches, the oldest first."""
        with self.proxy.engine.connect() as connection:
            fingerprint = secrets.fingerprint(self.key.encode(), identity.fingerprint_key(connection))
        found = context_caches.all_caches(self.proxy.engine)
        return sorted((cache for cache in found if cache.key_fingerprint == fingerprint), key=lambda cache: cache.id)

    def ready(self, count: int = 1) -> list[ContextCache]:
        """Return the user's caches once this many are ready."""

        def found() -> list[ContextCache]:
            there = [cache for cache in self.caches() if cache.state == "ready"]
            return there if len(there) >= count else []

        there = until(found)
        assert len(there) == count
        return there

    def served(self, path: str = CACHING, method: str = "POST") -> list[Served]:
        """Return the calls with the user's key that upstream has served."""
        return [
            call
            for call in self.mock.log
            if (call.path, call.method) == (path, method) and call.headers["Authorization"] == f"Bearer {self.key}"
        ]

    def deleted(self) -> list[Served]:
        """Return the calls that deleted a cache."""
        return [
            call
            for call in self.mock.log
            if call.method == "DELETE" and call.headers["Authorization"] == f"Bearer {self.key}"
        ]


@pytest.fixture
def key() -> str:
    """Provide a key that only this test has."""
    return f"sk-e2e-{uuid4().hex}"


@pytest.fixture
def user(shared: Proxy, mock: MockServer, key: str) -> User:
    """Provide a user of the shared proxy."""
    return User(shared, mock, key)


@pytest.fixture
def start(launch: Launcher, mock: MockServer, mode: str, key: str) -> Start:
    """Provide what starts a proxy of the test's own, and gives a user of it."""

    @contextmanager
    def started(*options: str, folder: Path | None = None, cached: bool = True) -> Iterator[User]:
        flags = CACHED if cached else ()
        with launch.start(*flags, mode, *options, endpoint=mock.url, folder=folder) as proxy:
            yield User(proxy, mock, key)

    return started


def history(turns: int, *, system: str = "You are a helpful assistant. ") -> Messages:
    """Return a conversation: long instructions, and so many questions and answers before the last question."""
    messages: Messages = [{"role": "system", "content": system * 60}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"question {turn}"})
        messages.append({"role": "assistant", "content": f"answer {turn} " * 10})
    return [*messages, {"role": "user", "content": f"question {turns}"}]


def until[T](condition: Callable[[], T]) -> T:
    """Return what a condition gives once that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, value
        time.sleep(0.01)
    return value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_conversation(user: User, mode: str, stream: bool) -> None:
    """The first call misses and creates, the second, with a longer history, hits with fewer uncached tokens."""
    assert user.ask(history(1), stream=stream) == ("question 1", 0)
    (cache,) = user.ready()
    text, cached = user.ask(history(2), stream=stream)
    first, second = user.rows(2)
    assert text == "question 2"
    forced = mode == "--force-stream" and not stream
    assert [(row.is_coerced, row.is_stream) for row in (first, second)] == [(forced, forced or stream)] * 2
    assert (first.cache_outcome, first.context_cache_id, first.cache_tokens) == ("created", None, None)
    assert (second.cache_outcome, second.context_cache_id) == ("hit", cache.cache_id)
    assert second.cache_tokens == second.cached_tokens == cached == cache.tokens
    assert (second.prompt_tokens or 0) - cached < (first.prompt_tokens or 0)
    assert second.changes[-1] == f"headers: X-Msh-Context-Cache: {cache.cache_id}, X-Msh-Context-Cache-Reset-TTL: 90"
    until(lambda: user.caches()[0].uses == 1)
    user.proxy.log.wait_for(rf"context cache {cache.cache_id}: made of 4 messages")
    user.proxy.log.wait_for(rf"- outcome: +hit\n.*- id: +{cache.cache_id}\n.*- saved_tokens: {cached}")
    (made,) = user.served()
    assert json.loads(made.body) == {"model": MODEL, "messages": history(1), "ttl": 90}
    assert cache.prefix_messages == len(history(1))
    assert user.key not in user.proxy.log.text


def test_tools_are_a_part_of_the_prefix(user: User) -> None:
    """Tools are sent to be cached; other tools are another prefix."""
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("weather", "tide")]
    user.ask(history(1), tools=tools)
    user.ready()
    user.ask(history(2), tools=tools)
    user.ask(history(2), tools=tools[::-1])
    assert user.outcomes(3) == ["created", "hit", "created"]
    assert json.loads(user.served()[0].body)["tools"] == tools


def test_what_misses(user: User) -> None:
    """A changed first message misses, another model and another key miss; a short request is not looked at."""
    user.ask(history(1))
    user.ready()
    user.ask(history(2, system="You are a helpful Assistant. "))
    user.ask(history(2), key=f"{user.key}-other")
    user.ask(history(2), model="mock-cache-pending")
    user.ask(history(2)[-2:])
    user.ask(history(2))
    assert user.outcomes(6) == ["created", "created", "created", "created", None, "hit"]
    assert len({row.key_fingerprint for row in user.rows(6)}) == 2


def test_less_than_half_is_no_hit(user: User) -> None:
    """A cache that covers half of the content or less is not used: a larger one is made, and used from then on."""
    user.ask(history(1))
    user.ready()
    user.ask(history(40))
    _, larger = user.ready(2)
    user.ask(history(41))
    assert user.outcomes(3) == ["created", "created", "hit"]
    assert user.rows(3)[-1].context_cache_id == larger.cache_id
    assert len(user.served()) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["mock-cache-lost", "mock-cache-refused"])
def test_a_refused_cache(user: User, model: str, stream: bool) -> None:
    """A call that is refused because of its cache is sent again without it; the id is dropped, the row says so."""
    user.ask(history(1), model=model)
    (cache,) = user.ready()
    assert user.ask(history(2), model=model, stream=stream) == ("question 2", 0)
    row = user.rows(2)[-1]
    until(lambda: cache.id not in [other.id for other in user.caches()])
    bodies = user.proxy.bodies(row)
    assert json.loads(bodies.response or b"")["choices"][0]["message"]["content"] == "question 2"
    assert (bodies.event_stream is not None) == row.is_stream
    assert (row.state, row.status_code, row.cache_outcome) == (State.COMPLETED, 200, "refused")
    assert row.context_cache_id is None
    assert [warning for warning in row.warnings if str(cache.cache_id) in warning and "without it" in warning]
    calls = user.served(CHAT)
    refusal = 404 if model == "mock-cache-lost" else 400
    assert [call.status for call in calls] == [200, refusal, 200]
    assert ["X-Msh-Context-Cache" in call.headers for call in calls] == [False, True, False]
    assert calls[1].body == calls[2].body


def test_a_cache_that_the_api_has_lost(user: User, clock: Clock) -> None:
    """A cache that has expired for the API, and not for us, costs a second try; the next call makes a new one."""
    user.ask(history(1))
    user.ready()
    clock.offset = 3600
    try:
        assert user.ask(history(2))[0] == "question 2"
    finally:
        clock.offset = 0
    until(lambda: not user.caches())
    user.ask(history(2))
    user.ready()
    user.ask(history(3))
    assert user.outcomes(4) == ["created", "refused", "created", "hit"]


def test_other_errors_pass_as_they_are(user: User) -> None:
    """An error that is not about the cache reaches the client unchanged and is not tried again."""
    user.ask(history(1))
    user.ready()
    with pytest.raises(openai.BadRequestError, match="max_tokens must be"):
        user.ask(history(2), max_tokens=0)
    assert user.ask(history(2))[1] > 0
    assert user.outcomes(3) == ["created", "unused", "hit"]
    assert len(user.served(CHAT)) == 3


def test_a_second_try_that_fails(user: User) -> None:
    """The answer to the second try is the client's, be it a failure of upstream; the row has that alone."""
    with pytest.raises(openai.APIError):
        user.ask(history(1), model="mock-cut")
    user.ready()
    with pytest.raises(openai.APIError):
        user.ask(history(2), model="mock-cut")
    row = user.rows(2)[-1]
    assert (row.state, row.cache_outcome) == (State.UPSTREAM_FAILED, "refused")
    assert [call.status for call in user.served(CHAT)][1:] == [404, 200]


BROKEN = "none could be made, next try in 10 s at the earliest: "


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("mock-cache-404", "answers 404 to POST /v1/caching: it makes no caches for this key"),
        ("mock-cache-405", "answers 405 to POST /v1/caching: it makes no caches for this key"),
        ("mock-cache-410", "answers 410 to POST /v1/caching: it makes no caches for this key"),
        ("mock-cache-500", f"{BROKEN}500 "),
        ("mock-cache-error", f"{BROKEN}cache-[0-9a-f]+ has the status 'error'"),
    ],
)
def test_a_broken_caching_api(user: User, model: str, said: str) -> None:
    """What is wrong with the caching API changes nothing for the client but the log, and is said and tried once."""
    assert user.ask(history(1), model=model) == ("question 1", 0)
    user.proxy.log.wait_for(said)
    until(lambda: not user.caches())
    for turn in (2, 3):
        assert user.ask(history(turn), model=model) == (f"question {turn}", 0)
    assert user.outcomes(3) == ["created", "miss", "miss"]
    assert [row.warnings for row in user.rows(3)] == [()] * 3
    assert len(user.served()) == 1
    assert len(re.findall(said, user.proxy.log.text)) == 1


def test_an_ignored_cache(user: User) -> None:
    """An API that says nothing of the cache is not said to have used it."""
    user.ask(history(1), model="mock-cache-ignored")
    user.ready()
    assert user.ask(history(2), model="mock-cache-ignored") == ("question 2", 0)
    row = user.rows(2)[-1]
    assert (row.cache_outcome, row.context_cache_id, row.warnings) == ("unused", None, ())


async def ask_at_once(urls: list[str], key: str, count: int) -> list[int]:
    """Send so many identical calls at once, to these proxies in turn; return their status codes."""
    body = {"model": MODEL, "messages": history(1)}
    headers = {"Authorization": f"Bearer {key}", "X-Request-Id": key.removeprefix("sk-")}
    async with httpx.AsyncClient(headers=headers, timeout=PATIENCE, trust_env=False, verify=NO_AUTHORITIES) as client:
        calls = (client.post(f"{urls[number % len(urls)]}{CHAT}", json=body) for number in range(count))
        return [answer.status_code for answer in await asyncio.gather(*calls)]


def test_a_hundred_calls_make_one_cache(user: User) -> None:
    """Identical calls at the same time create exactly one cache."""
    assert asyncio.run(ask_at_once([user.proxy.url], user.key, 100)) == [200] * 100
    user.ready()
    outcomes = user.outcomes(100)
    assert outcomes.count("created") == 1
    assert set(outcomes) <= {"created", "miss", "hit"}
    assert len(user.served()) == 1


def test_caches_that_were_cleared(user: User) -> None:
    """A cache that `mpal cache clear` has forgotten is found out at its next use, and deleted at the API."""
    user.ask(history(1))
    (cache,) = user.ready()
    done = user.proxy.mpal("cache", "clear")
    assert (done.returncode, user.caches()) == (0, []), done.stderr
    user.ask(history(2))
    (call,) = until(user.deleted)
    assert call.path == f"{CACHING}/{cache.cache_id}"
    user.ask(history(3))
    assert user.outcomes(3) == ["created", "hit", "created"]


def test_clients_that_choose_a_cache_themselves(user: User) -> None:
    """A request that names a cache of its own, in a header or a first message, is left alone."""
    with pytest.raises(openai.NotFoundError):
        user.ask(history(1), extra_headers={"X-Msh-Context-Cache": "cache-of-mine"})
    user.ask([{"role": "cache", "content": "cache_id=cache-of-mine;reset_ttl=60"}, *history(1)])
    assert user.outcomes(2) == [None, None]
    assert user.served() == []


def test_why(user: User) -> None:
    """`mpal cache why` shows where a conversation's prompt changed, and what that cost."""
    model = "kimi-k3"
    for messages in (history(1), history(2), history(3, system="You are a helpful Assistant. ")):
        user.ask(messages, model=model)
    first, second, third = user.rows(3)
    kept, changed = (user.proxy.mpal("cache", "why", "--id", str(row.id)) for row in (second, third))
    text = kept.stdout.decode()
    assert f"call {second.id} continues call {first.id}" in text
    assert "diverged: nowhere" in text
    assert f"tokens: {second.cached_tokens} of {second.prompt_tokens} were cached" in text
    assert "cost: nothing" in text
    text = changed.stdout.decode()
    assert f"call {third.id} continues call {second.id}" in text
    assert "diverged: message 1 (system) changed after" in text
    assert "helpful assistant" in text
    assert "helpful Assistant" in text
    assert "cost: 256 tokens that were not cached" in text


# ---- proxies with options of their own ----------------------------------------------------------------------------


def test_an_expired_cache_is_made_again(start: Start) -> None:
    """After its time to live a cache is not used, and one is made anew; the row is the same."""
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
    """While the caching API is silent, calls go on without waiting for it; the proxy stops when it is told to."""
    with start() as user:
        for turn in (1, 2):
            assert user.ask(history(turn), model="mock-cache-stall") == (f"question {turn}", 0)
        assert user.outcomes(2) == ["created", "created"]
        assert max(row.latency or 0 for row in user.rows(2)) < 30e9
        assert [cache.state for cache in user.caches()] == ["creating", "creating"]
        user.proxy.stop()
        assert user.caches() == []


def test_waiting(start: Start) -> None:
    """With --cache-wait the first call uses its own cache already, once that is ready."""
    with start("--cache-wait", "30") as user:
        for number, model in enumerate(("mock-cache", "mock-cache-pending", "mock-cache-slow"), 1):
            text, cached = user.ask(history(1), model=model)
            row, cache = user.rows(number)[-1], user.caches()[-1]
            assert (text, cached) == ("question 1", cache.tokens)
            assert (row.cache_outcome, row.context_cache_id) == ("created", cache.cache_id)


def test_waiting_for_nothing(start: Start) -> None:
    """If no cache can be made the wait is over at once, and the row does not say that one was created."""
    with start("--cache-wait", "60") as user:
        assert user.ask(history(1), model="mock-cache-404") == ("question 1", 0)
        (row,) = user.rows(1)
        assert (row.cache_outcome, row.context_cache_id) == ("miss", None)
        assert (row.latency or 0) < 30e9


def test_waiting_has_a_bound(start: Start) -> None:
    """A cache that is not ready in time is not used; it is made all the same."""
    with start("--cache-wait", "0.2") as user:
        assert user.ask(history(1), model="mock-cache-pending") == ("question 1", 0)
        user.ready()
        assert user.ask(history(2), model="mock-cache-pending")[1] > 0
        assert user.outcomes(2) == ["created", "hit"]


def test_two_proxies_on_one_store(start: Start, launch: Launcher) -> None:
    """Two proxies on one store make one cache between them, and both use it; so does one that starts later."""
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
    """While another process holds the store, calls are answered at once; a cache is made when it lets go."""
    with start() as user:
        with user.proxy.engine.connect().execution_options(immediate=True) as connection, connection.begin():
            began = time.monotonic()
            assert user.ask(history(1)) == ("question 1", 0)
            assert time.monotonic() - began < 4
            assert user.served() == []
        user.ready()


def test_unused_caches_are_deleted(start: Start) -> None:
    """A cache that nobody used for --cache-cleanup seconds is forgotten, and deleted at the API."""
    with start("--cache-ttl", "600", "--cache-cleanup", "1") as user:
        user.ask(history(1))
        (call,) = until(user.deleted)
        until(lambda: not user.caches())
        user.ask(history(2))
        assert user.outcomes(2) == ["created", "created"]
    assert call.path.startswith(f"{CACHING}/cache-")
    assert call.status == 200


def test_the_hint(start: Start) -> None:
    """--cache-key-hint adds a key that stays through a conversation, and lets the client's own stand."""
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


def test_a_refused_hint(start: Start) -> None:
    """An API that knows no hints costs one second try; from then on calls go without, and the rows say so."""
    with start("--cache-key-hint", cached=False) as user:
        for turn in (1, 2):
            assert user.ask(history(turn), model="mock-no-hints")[0] == f"question {turn}"
        user.proxy.log.wait_for("refuses prompt_cache_key; calls go on without it for an hour")
        rows = user.rows(2)
    calls = user.served(CHAT)
    assert [call.status for call in calls] == [400, 200, 200]
    assert ["prompt_cache_key" in json.loads(call.body) for call in calls] == [True, False, False]
    assert [row.status_code for row in rows] == [200, 200]
    assert ["body: prompt_cache_key added" in row.changes for row in rows] == [True, False]
    assert ["prompt_cache_key with 400" in str(row.warnings) for row in rows] == [True, False]


def test_an_error_beside_a_hint(start: Start) -> None:
    """An error that is not about the hint reaches the client as it is, and the hint stays."""
    with start("--cache-key-hint", cached=False) as user:
        with pytest.raises(openai.BadRequestError, match="max_tokens must be"):
            user.ask(history(1), max_tokens=0)
        user.ask(history(1))
    assert ["prompt_cache_key" in json.loads(call.body) for call in user.served(CHAT)] == [True, True]


def test_under_mitmdump(launch: Launcher, mock: MockServer, key: str) -> None:
    """The bundle does all of this in mitmdump as well, the second try included; its own requests are no calls."""
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

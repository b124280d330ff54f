"""`--auto-cache` over real sockets, with the openai SDK: creation, use, refusals, and that no answer is lost."""

import asyncio
import json
import re
import time
from collections.abc import Iterator

import openai
import pytest

from moonpalace_addons.store.tasks import State
from tests.e2e.cache_user import CACHED, CACHING, CHAT, MODEL, QUICK, User, ask_at_once, history
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

MODES = ("--no-force-stream", "--force-stream")


class Clock:
    """The mock's clock, which a test can advance."""

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
    """Provide a mock that all tests share: each has a separate key, and so separate caches."""
    with MockServer(times=QUICK, clock=clock) as server:
        yield server


both_modes = pytest.mark.parametrize("mode", MODES, ids=["plain", "forced"], indirect=True, scope="module")
"""For tests that depend on whether streams are forced; all others use forced ones."""


@pytest.fixture(scope="module")
def mode(request: pytest.FixtureRequest) -> str:
    """Provide the flag that forces streams, or the one that does not."""
    return str(getattr(request, "param", "--force-stream"))


@pytest.fixture(scope="module")
def shared(launch: Launcher, mock: MockServer, mode: str) -> Iterator[Proxy]:
    """Provide a proxy that caches, shared by the tests that need no other options."""
    with launch.start(*CACHED, "--cache-ttl", "90", mode, endpoint=mock.url) as proxy:
        yield proxy


@pytest.fixture
def user(shared: Proxy, mock: MockServer, key: str) -> User:
    """Provide a user of the shared proxy."""
    return User(shared, mock, key)


@both_modes
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
    user.proxy.log.wait_for(rf"context cache {cache.cache_id}: created from 4 messages")
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
    """A changed first message, another model and another key miss; a short request is ignored."""
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
    """A cache that covers half of the content or less is not used: a larger one is created, and used from then on."""
    user.ask(history(1))
    user.ready()
    user.ask(history(40))
    _, larger = user.ready(2)
    user.ask(history(41))
    assert user.outcomes(3) == ["created", "created", "hit"]
    assert user.rows(3)[-1].context_cache_id == larger.cache_id
    assert len(user.served()) == 2


@both_modes
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["mock-cache-lost", "mock-cache-refused"])
def test_a_refused_cache(user: User, model: str, stream: bool) -> None:
    """A call refused because of its cache is sent again without it; the cache is dropped, the row says so."""
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
    """A cache that has expired at the API but not for us costs a second attempt; the next call creates a new one."""
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


@both_modes
def test_other_errors_pass_as_they_are(user: User) -> None:
    """An error that does not concern the cache reaches the client unchanged, without a second attempt."""
    user.ask(history(1))
    user.ready()
    with pytest.raises(openai.BadRequestError, match="max_tokens must be"):
        user.ask(history(2), max_tokens=0)
    assert user.ask(history(2))[1] > 0
    assert user.outcomes(3) == ["created", "unused", "hit"]
    assert len(user.served(CHAT)) == 3


@both_modes
def test_a_second_try_that_fails(user: User) -> None:
    """The client gets the answer to the second attempt, even if it is a failure; the row only has that one."""
    with pytest.raises(openai.APIError):
        user.ask(history(1), model="mock-cut")
    user.ready()
    with pytest.raises(openai.APIError):
        user.ask(history(2), model="mock-cut")
    row = user.rows(2)[-1]
    assert (row.state, row.cache_outcome) == (State.UPSTREAM_FAILED, "refused")
    assert [call.status for call in user.served(CHAT)][1:] == [404, 200]


BROKEN = "creation failed, next attempt in 10 s at the earliest: "


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mock-cache-404", "answers 404 to POST /v1/caching: it offers no caches for this key"),
        ("mock-cache-405", "answers 405 to POST /v1/caching: it offers no caches for this key"),
        ("mock-cache-410", "answers 410 to POST /v1/caching: it offers no caches for this key"),
        ("mock-cache-500", f"{BROKEN}500 "),
        ("mock-cache-error", f"{BROKEN}cache-[0-9a-f]+ has the status 'error'"),
    ],
)
def test_a_broken_caching_api(user: User, model: str, message: str) -> None:
    """Failures of the caching API only affect the log, and are logged and tried once."""
    assert user.ask(history(1), model=model) == ("question 1", 0)
    user.proxy.log.wait_for(message)
    until(lambda: not user.caches())
    for turn in (2, 3):
        assert user.ask(history(turn), model=model) == (f"question {turn}", 0)
    until(lambda: user.outcomes(3) == ["miss", "miss", "miss"])
    assert [row.warnings for row in user.rows(3)] == [()] * 3
    assert len(user.served()) == 1
    assert len(re.findall(message, user.proxy.log.text)) == 1


def test_an_ignored_cache(user: User) -> None:
    """If the API does not mention the cache, it is not recorded as used."""
    user.ask(history(1), model="mock-cache-ignored")
    user.ready()
    assert user.ask(history(2), model="mock-cache-ignored") == ("question 2", 0)
    row = user.rows(2)[-1]
    assert (row.cache_outcome, row.context_cache_id, row.warnings) == ("unused", None, ())


def test_a_hundred_calls_make_one_cache(user: User) -> None:
    """Identical calls at the same time create exactly one cache."""
    assert asyncio.run(ask_at_once([user.proxy.url], user.key, 100)) == [200] * 100
    user.ready()
    outcomes = user.outcomes(100)
    assert outcomes.count("created") == 1
    assert set(outcomes) <= {"created", "miss", "hit"}
    assert len(user.served()) == 1


def test_caches_that_were_cleared(user: User) -> None:
    """A cache removed by `mpal cache clear` is noticed at its next use, and deleted at the API."""
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
    """A request that names a cache itself, in a header or a first message, is unchanged."""
    with pytest.raises(openai.NotFoundError):
        user.ask(history(1), extra_headers={"X-Msh-Context-Cache": "cache-of-mine"})
    user.ask([{"role": "cache", "content": "cache_id=cache-of-mine;reset_ttl=60"}, *history(1)])
    assert user.outcomes(2) == [None, None]
    assert user.served() == []


def test_why(user: User) -> None:
    """`mpal cache why` shows where a conversation's prompt changed, and the cost."""
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

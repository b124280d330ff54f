"""The hooks of context caching: which requests are changed, and how answers are read."""

import asyncio
import json
from collections.abc import Awaitable

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import Headers, HTTPFlow, Request, Response
from mitmproxy.test import tflow, tutils

from moonpalace_addons import context_cache
from moonpalace_addons.caching.api import Account, Ready
from moonpalace_addons.caching.call_state import ContextCacheState
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.context_cache import ContextCache, chooses_itself, names_cache
from moonpalace_addons.mitm import flow_control, own_requests
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.wire.chat.prefix import read_content
from tests.hostile import HOSTILE_LINES, assert_quoted

ACCOUNT = Account("https://api", "f" * 16, "/v1", b"sk-Secret-0123456789")
BODY = json.dumps({"model": "kimi-k3", "messages": [{"role": "user", "content": "x" * 2000}]}).encode()


class Caches:
    """Caches that return a cache for any request, and record the calls."""

    def __init__(self, ready: Ready | None = None) -> None:
        self.ready = ready
        self.actions: list[str] = []
        self.task: asyncio.Future[Ready | None] | None = None

    async def find(self, account: Account, _: object) -> Ready | None:
        """Return the cache."""
        self.actions.append(f"find {account.base} {account.key.decode()}")
        return self.ready

    def make(self, *_: object) -> asyncio.Future[Ready | None] | None:
        """Start creating a cache, if the test defines the result."""
        self.actions.append("make")
        return self.task

    def none_made(self, _: str) -> None:
        """Note that a row has to be corrected."""
        self.actions.append("none made")

    def making(self, *_: object) -> None:
        """Return that no cache is being created."""

    def used(self, _: Account, ready: Ready) -> None:
        """Note a use."""
        self.actions.append(f"used {ready.cache_id}")

    def drop(self, _: Account, ready: Ready) -> None:
        """Note a drop."""
        self.actions.append(f"drop {ready.cache_id}")


def a_cache() -> Ready:
    """Return a cache."""
    return Ready(1, "cache-1", 1, 1e12)


def addon(caches: Caches | None, **settings: str) -> tuple[ContextCache, Calls]:
    """Return the addon with these caches."""
    values: dict[str, object | None] = {name.replace("_", "-"): value for name, value in settings.items()}
    configuration = Configuration(resolve(values, {"MOONPALACE_HOME": "/nowhere"}))
    calls = Calls()
    found = ContextCache(configuration, calls, Recorder(configuration))
    found.caches = caches  # type: ignore[assignment]
    found._key = b"key"
    return found, calls


def a_call(calls: Calls, body: bytes = BODY, path: str = "/v1/chat/completions", **headers: str) -> Call:
    """Begin a chat completion."""
    fields = {"Content-Type": "application/json", "Authorization": "Bearer sk-mine-0123456789"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    named = Headers([(name.encode(), value.encode()) for name, value in fields.items() if value])
    request = tutils.treq(method=b"POST", headers=named, content=b"")
    request.raw_content, request.path = body, path
    flow = tflow.tflow(req=request)
    call = Call(flow, 0, flow.request.headers.fields, "", path)
    calls.begin(call)
    return call


def state(call: Call) -> ContextCacheState:
    """Return the addon's state of a call."""
    return call.state(ContextCacheState)


def after_request_hook(call: Call, hooks: ContextCache) -> Call:
    """Pass the request through the hook."""
    finish(hooks.request(call.flow))
    return call


def finish(waiting: Awaitable[None] | None) -> None:
    """Wait for the hook's awaitable, if any."""
    if waiting is not None:

        async def wait() -> None:
            await waiting

        asyncio.run(wait())


def answered(hooks: ContextCache, call: Call, status: int, headers: dict[str, str]) -> HTTPFlow:
    """Pass the headers of an answer through the hook."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    call.flow.response = Response.make(status, b"{}", named)
    hooks.responseheaders(call.flow)
    return call.flow


def test_a_cache_is_named() -> None:
    """Two headers are added, the body is unchanged, and the call notes it; the caches belong to the client's key."""
    caches = Caches(a_cache())
    hooks, calls = addon(caches, cache_min_bytes="1000", cache_ttl="90")
    call = after_request_hook(a_call(calls), hooks)
    assert call.flow.request.headers["X-Msh-Context-Cache"] == "cache-1"
    assert call.flow.request.headers["X-Msh-Context-Cache-Reset-TTL"] == "90"
    assert (call.flow.request.raw_content, call.body) == (BODY, None)
    assert call.changes == ["headers: X-Msh-Context-Cache: cache-1, X-Msh-Context-Cache-Reset-TTL: 90"]
    assert (state(call).outcome, caches.actions) == ("unused", ["find /v1 sk-mine-0123456789"])


UNTOUCHED: dict[str, dict[str, object]] = {
    "too small": {"body": BODY[:20]},
    "much that is no content": {"body": json.dumps({"model": "k", "messages": [{}], "user": "x" * 9000}).encode()},
    "no JSON": {"body": BODY[:-1]},
    "another path": {"path": "/v1/embeddings"},
    "encoded": {"Content_Encoding": "gzip"},
    "no key": {"Authorization": ""},
    "a cache of its own": {"X_Msh_Context_Cache": "mine"},
    "a message that is one": {"body": BODY.replace(b'"user"', b'"cache"')},
}


@pytest.mark.parametrize("which", UNTOUCHED)
def test_what_is_left_alone(which: str) -> None:
    """These requests pass unchanged, and record no cache outcome."""
    caches = Caches(a_cache())
    hooks, calls = addon(caches, cache_min_bytes="1000")
    call = a_call(calls, **UNTOUCHED[which])  # type: ignore[arg-type]
    before = call.flow.request.copy()
    after_request_hook(call, hooks)
    assert call.flow.request.get_state()["headers"] == before.get_state()["headers"]
    assert call.flow.request.raw_content == before.raw_content
    assert (state(call).outcome, call.changes, caches.actions) == (None, [], [])


def test_the_configured_key_counts() -> None:
    """If the proxy sends its own key, the caches belong to that key."""
    caches = Caches(a_cache())
    hooks, calls = addon(caches, cache_min_bytes="1000")
    call = a_call(calls)
    call.upstream_key = "sk-owner-0123456789"
    after_request_hook(call, hooks)
    assert caches.actions == ["find /v1 sk-owner-0123456789"]


@pytest.mark.parametrize(
    ("made", "over", "outcome", "actions"),
    [
        (a_cache(), False, "created", []),
        (a_cache(), True, "created", []),
        (None, False, "miss", []),
        (None, True, "miss", ["none made"]),
    ],
)
def test_a_cache_is_created_only_if_it_was(made: Ready | None, over: bool, outcome: str, actions: list[str]) -> None:
    """If the cache could not be created, neither the call nor, if the call is over, its row says that it was."""
    caches = Caches()
    hooks, calls = addon(caches, cache_min_bytes="1000")
    call = a_call(calls)

    async def ask() -> None:
        task: asyncio.Future[Ready | None] = asyncio.get_running_loop().create_future()
        caches.task = task
        waiting = hooks.request(call.flow)
        assert waiting is not None
        await waiting
        assert state(call).outcome == "created"
        if over:
            calls.end(call.flow)
        task.set_result(made)
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert (state(call).outcome, caches.actions[2:]) == (outcome, actions)


def test_nothing_to_wait_for() -> None:
    """Without the feature the hook returns None, so that nothing is awaited."""
    hooks, calls = addon(None)
    assert hooks.request(a_call(calls).flow) is None


def test_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Any exception leaves the request unchanged and does not reach mitmproxy."""

    def failing(_: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(context_cache, "read_content", failing)
    hooks, calls = addon(Caches(a_cache()))
    call = after_request_hook(a_call(calls, BODY * 3), hooks)
    assert call.flow.request.raw_content == BODY * 3
    assert "continues without a cache because of a fault in MoonPalace" in caplog.text


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "actions", "hold"),
    [
        (200, {"Msh_Context_Cache_Id": "cache-1"}, "hit", ["used cache-1"], False),
        (200, {"Msh_Context_Cache_Token_Saved": "12"}, "hit", ["used cache-1"], False),
        (200, {"Msh_Context_Cache_Token_Saved": "0"}, "unused", [], False),
        (200, {"Msh_Context_Cache_Id": "cache-2"}, "unused", [], False),
        (200, {}, "unused", [], False),
        (500, {}, "unused", [], False),
        (404, {}, "unused", [], True),
        (400, {}, "unused", [], True),
    ],
)
def test_what_an_answer_says(
    monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str], outcome: str, actions: list[str], hold: bool
) -> None:
    """An answer that mentions the cache or its savings is a hit; one that may refuse it is held."""
    offered: list[HTTPFlow] = []
    monkeypatch.setattr(flow_control, "allow_retry", offered.append)
    caches = Caches(a_cache())
    hooks, calls = addon(caches, cache_min_bytes="1000")
    call = after_request_hook(a_call(calls), hooks)
    answered(hooks, call, status, headers)
    assert (state(call).outcome, caches.actions[1:], state(call).hold) == (outcome, actions, hold)
    assert (offered == [call.flow]) is hold


@pytest.mark.parametrize(
    ("body", "again"),
    [
        (b'{"error":{"message":"Not found the context cache cache-1"}}', True),
        (b'{"error":{"message":"Invalid request: Context Caching is over"}}', True),
        (b"<html>cache-1</html>", True),
        (b'{"error":{"message":"Not found the model"}}', False),
        (b"", False),
    ],
)
def test_a_refusal(body: bytes, again: bool) -> None:
    """If a refusal mentions the cache, it is removed and the cache is dropped; any other is forwarded."""
    caches = Caches(a_cache())
    hooks, calls = addon(caches, cache_min_bytes="1000")
    call = after_request_hook(a_call(calls), hooks)
    call.flow.response = Response.make(404, body, {"Content-Type": "application/json"})
    hooks.moonpalace_refused(call.flow)
    assert (call.flow.response is None) is again
    assert ("X-Msh-Context-Cache" in call.flow.request.headers) is not again
    assert ("X-Msh-Context-Cache-Reset-TTL" in call.flow.request.headers) is not again
    assert caches.actions[1:] == (["drop cache-1"] if again else [])
    assert state(call).outcome == ("refused" if again else "unused")
    assert call.warnings == (
        ["the API refused the context cache cache-1 with 404: the call was sent again without it"] if again else []
    )
    assert (state(call).cache, state(call).hold) == (None, False)


@pytest.mark.parametrize("failed", [False, True])
def test_a_refusal_on_mitmproxys_server(monkeypatch: pytest.MonkeyPatch, failed: bool) -> None:
    """There the original request is sent again, and its complete answer is forwarded; a failure is logged."""
    sent: list[Request] = []

    async def fetch(request: Request) -> HTTPFlow:
        sent.append(request)
        error = Error(f"bad answer: {HOSTILE_LINES}") if failed else False
        return tflow.tflow(req=request, resp=not failed, err=error)

    monkeypatch.setattr(own_requests, "fetch", fetch)
    hooks, calls = addon(Caches(a_cache()), cache_min_bytes="1000")
    call = after_request_hook(a_call(calls), hooks)
    state(call).hold, call.body = True, BODY
    call.add(StreamEdit(coerce=True))
    call.flow.request.content = b"changed"
    call.flow.response = Response.make(404, b"cache-1 is gone")
    finish(hooks.response(call.flow))
    assert hooks.response(call.flow) is None
    assert [request.raw_content for request in sent] == [BODY]
    assert "X-Msh-Context-Cache" not in sent[0].headers
    assert call.flow.response is not None
    assert (call.flow.response.status_code, call.find(StreamEdit), state(call).hold) == (
        502 if failed else 200,
        StreamEdit(),
        False,
    )
    if failed:
        assert_quoted(json.loads(call.flow.response.content or b"")["error"]["message"])


def test_the_hint() -> None:
    """The hint is added to the body; the client's body is kept, even if another addon kept it before."""
    hooks, calls = addon(None, cache_key_hint="true")
    call = after_request_hook(a_call(calls), hooks)
    sent = json.loads(call.flow.request.raw_content or b"")
    assert sent.pop("prompt_cache_key").startswith("mp-")
    assert sent == json.loads(BODY)
    assert (call.body, call.changes, state(call).outcome) == (BODY, ["body: prompt_cache_key added"], None)
    call = a_call(calls)
    call.body = b"before"
    assert after_request_hook(call, hooks).body == b"before"


def test_a_hint_of_the_client() -> None:
    """A client's own hint is kept, even if it is null."""
    hooks, calls = addon(None, cache_key_hint="true")
    body = BODY[:-1] + b',"prompt_cache_key":null}'
    call = after_request_hook(a_call(calls, body), hooks)
    assert (call.flow.request.raw_content, call.changes) == (body, [])


def test_names_cache_decodes() -> None:
    """A refusal is read even if it is compressed."""
    response = Response.make(400, b"", {"Content-Encoding": "gzip"})
    response.content = b"the context cache is gone"
    assert response.raw_content != response.content
    assert names_cache(response, "cache-1")


def test_chooses_itself_reads_the_first_message() -> None:
    """Only a first message with the role cache names a cache; a text with the same content does not."""
    hooks, calls = addon(None)
    assert hooks.caches is None
    for first, expected in (({"role": "cache", "content": "x"}, True), ({"content": '"role":"cache"'}, False)):
        body = json.dumps({"model": "k", "messages": [first]}).encode()
        content = read_content(body)
        assert content is not None
        assert chooses_itself(a_call(calls, body), content) is expected

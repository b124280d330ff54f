"""Use context caches for long chat completions, and add prompt_cache_key hints."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Collection
from typing import TYPE_CHECKING

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.caching.api import Account, CachingApi, Ready, answer_text
from moonpalace_addons.caching.call_state import ContextCacheState
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.failures import UPSTREAM_PROTOCOL
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.errors import StoreError
from moonpalace_addons.mitm import flow_control, own_requests
from moonpalace_addons.mitm.headers import has_plain_body
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.wire.chat.prefix import Content, key_hint, prefixes, read_content, with_member
from moonpalace_addons.wire.faces.table import error_body
from moonpalace_addons.wire.foreign import quoted
from moonpalace_addons.wire.secrets import masking

if TYPE_CHECKING:
    from moonpalace_addons.caching.lifecycle import Caches

logger = logging.getLogger(__name__)

USE = "X-Msh-Context-Cache"
RESET = "X-Msh-Context-Cache-Reset-TTL"
USED = "Msh-Context-Cache-Id"
SAVED = "Msh-Context-Cache-Token-Saved"
HINT = "prompt_cache_key"
HINT_PAUSE = 3600.0
"""Seconds for which an endpoint that refused a hint gets none."""
REFUSALS = (400, 404)
NAMES_CACHE = re.compile(r"cach(e|ing)", re.IGNORECASE)

HIT, MISS, CREATED, REFUSED, UNUSED = "hit", "miss", "created", "refused", "unused"
"""Stored outcomes: the API used a cache; there was no cache; there was none, and one was created during or before the
call; the API refused the cache, and the call was sent again without it; the answer does not mention the cache that the
request named."""


class ContextCache:
    """Add the matching cache to a request, or have one created if none matches."""

    name = "moonpalace-context-cache"

    def __init__(self, configuration: Configuration, calls: Calls, recorder: Recorder) -> None:
        self.configuration = configuration
        self.calls = calls
        self.recorder = recorder
        self.caches: Caches | None = None
        self._key = b""
        self._hints_from: dict[str, float] = {}
        self._watch: asyncio.Task[None] | None = None

    async def running(self) -> None:
        """Open the caches, if `auto-cache` is on."""
        if not self.configuration.ready or self.recorder.writer is None or not self.configuration.settings.auto_cache:
            return
        settings = self.configuration.settings
        # Importing the store takes 0.3 s, which only users of caches should pay.
        from moonpalace_addons.caching.lifecycle import Caches
        from moonpalace_addons.store.records import cache_access

        try:
            access, self._key = await asyncio.to_thread(cache_access.open_access, settings.database)
        except StoreError as error:
            logger.error("context cache: unavailable, calls continue without it: %s", error)  # noqa: TRY400 - one line
            return
        self.caches = Caches(access, CachingApi(), ttl=settings.cache_ttl, cleanup=settings.cache_cleanup)
        self._watch = asyncio.create_task(self.caches.watch())

    @property
    def unneeded(self) -> Collection[str]:
        """Return the hooks that do nothing if there are neither caches nor hints."""
        is_needed = self.caches is not None or (self.configuration.ready and self.configuration.settings.cache_key_hint)
        return () if is_needed else ("request", "responseheaders", "response")

    def request(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Add the hint and the cache; on failure the request stays unchanged, and later addons still run.

        Return None, so that mitmproxy has nothing to await, if there is nothing to do.
        """
        call = self.calls.get(flow)
        if call is None or flow.response is not None or not self._concerns(call):
            return None
        return self._request(call)

    async def _request(self, call: Call) -> None:
        try:
            await self._prepare(call, self.configuration.settings)
        except Exception:
            logger.exception("context cache: a call continues without a cache because of a fault in MoonPalace")

    def _concerns(self, call: Call) -> bool:
        settings, request = self.configuration.settings, call.flow.request
        is_long = self.caches is not None and len(request.raw_content or b"") > settings.cache_min_bytes
        return (is_long or settings.cache_key_hint) and call.face.has_context_caches and has_plain_body(call.flow)

    async def _prepare(self, call: Call, settings: Settings) -> None:
        began = time.monotonic_ns()
        content = read_content(call.flow.request.raw_content or b"")
        if content is None:
            return
        if settings.cache_key_hint and content.member(HINT) is None and self._takes_hints(call):
            hint(call, content)
        account = self._account(call) if content.size > settings.cache_min_bytes else None
        usable = prefixes(content) if account is not None else []
        call.overhead += time.monotonic_ns() - began
        if self.caches is None or account is None or not usable or chooses_itself(call, content):
            return
        ready = await self.caches.find(account, usable)
        state = call.state(ContextCacheState)
        state.outcome = MISS
        if ready is None:
            making = self.caches.make(account, content, usable[0])
            if making is not None:
                state.outcome = CREATED
                making.add_done_callback(lambda task: self._made(call, state, task))
            making = making or self.caches.making(account, usable[0])
            if making is not None and settings.cache_wait:
                ready = await result_within(making, settings.cache_wait)
        if ready is not None:
            use(call, account, ready, settings.cache_ttl)

    def _made(self, call: Call, state: ContextCacheState, making: asyncio.Task[Ready | None]) -> None:
        """Revert the outcome `created` if the creation failed, in the row too if the call is over."""
        if state.outcome != CREATED or (not making.cancelled() and making.result() is not None):
            return
        state.outcome = MISS
        if self.calls.get(call.flow) is not call and self.caches is not None:
            self.caches.none_made(call.uuid)

    def _account(self, call: Call) -> Account | None:
        key = call.api_key
        if key is None or self.caches is None:
            return None
        endpoint = self.configuration.endpoint_of(call.flow).url
        return Account(endpoint, masking.fingerprint(key, self._key), call.path.removesuffix(call.face.paths[0]), key)

    def _takes_hints(self, call: Call) -> bool:
        return time.monotonic() >= self._hints_from.get(self.configuration.endpoint_of(call.flow).url, 0.0)

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Check whether the API used the cache; hold an answer that may refuse our additions until it is complete."""
        state = self._state(flow)
        if state is None or flow.response is None:
            return
        if flow.response.status_code in REFUSALS and (state.cache is not None or state.unhinted is not None):
            state.hold = True
            flow_control.allow_retry(flow)
        elif state.cache is not None and self.caches is not None:
            self._answered(state, flow.response, self.caches, *state.cache)

    def _state(self, flow: HTTPFlow) -> ContextCacheState | None:
        call = self.calls.get(flow)
        return None if call is None else call.find(ContextCacheState)

    @staticmethod
    def _answered(
        state: ContextCacheState, response: Response, caches: "Caches", account: Account, ready: Ready
    ) -> None:
        if response.headers.get(USED) == ready.cache_id or saved_tokens(response):
            state.outcome = CREATED if state.outcome == CREATED else HIT
            caches.used(account, ready)
        else:
            state.outcome = UNUSED

    def moonpalace_refused(self, flow: HTTPFlow) -> None:
        """Resend a call that was refused because of its hint or cache without it, once for each."""
        call, state = self.calls.get(flow), self._state(flow)
        if call is None or state is None or flow.response is None:
            return
        state.hold = False
        unhinted, state.unhinted = state.unhinted, None
        if unhinted is not None and HINT in answer_text(flow.response):
            self._without_hint(call, flow.response, unhinted)
        elif state.cache is not None and self.caches is not None:
            self._without_cache(call, state, flow.response, self.caches, *state.cache)

    def response(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Do what `moonpalace_refused` does, on mitmproxy's server, which lacks it; the new answer is not streamed.

        Return None if there is nothing to await, as in `request`.
        """
        call, state = self.calls.get(flow), self._state(flow)
        return self._refused(flow, call) if call is not None and state is not None and state.hold else None

    async def _refused(self, flow: HTTPFlow, call: Call) -> None:
        self.moonpalace_refused(flow)
        if flow.response is None:
            flow.response = await second_answer(call)

    def _without_hint(self, call: Call, response: Response, body: bytes) -> None:
        endpoint = self.configuration.endpoint_of(call.flow).url
        self._hints_from[endpoint] = time.monotonic() + HINT_PAUSE
        call.flow.request.content = body
        call.warnings.append(f"the API refused {HINT} with {response.status_code}: the call was sent again without it")
        logger.warning("context cache: %s refuses %s; calls continue without it for an hour", endpoint, HINT)
        again(call)

    def _without_cache(
        self,
        call: Call,
        state: ContextCacheState,
        response: Response,
        caches: "Caches",
        account: Account,
        ready: Ready,
    ) -> None:
        state.cache = None
        if not names_cache(response, ready.cache_id):
            state.outcome = UNUSED
            return
        caches.drop(account, ready)
        for name in (USE, RESET):
            call.flow.request.headers.pop(name, None)
        state.outcome = REFUSED
        status = response.status_code
        call.warnings.append(
            f"the API refused the context cache {ready.cache_id} with {status}: the call was sent again without it"
        )
        logger.warning("context cache %s: refused with %d; sent the call again without it", ready.cache_id, status)
        again(call)

    async def done(self) -> None:
        """Stop, and store which caches were used."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self.caches is not None:
            await self.caches.close()


def hint(call: Call, content: Content) -> None:
    """Add the hint to a request."""
    flow = call.flow
    if call.body is None:
        call.body = flow.request.raw_content
    call.state(ContextCacheState).unhinted = flow.request.raw_content
    flow.request.content = with_member(content, HINT, key_hint(content))
    call.changes.append(f"body: {HINT} added")


def again(call: Call) -> None:
    """Remove the answer, so that the changed request is sent again."""
    call.flow.response, call.response = None, None


async def second_answer(call: Call) -> Response:
    """Send the client's original request, and return its answer."""
    request = call.flow.request.copy()
    if call.body is not None:
        request.content = call.body
    call.add(StreamEdit())
    flow = await own_requests.fetch(request)
    if flow.response is not None and flow.error is None:
        return flow.response
    why = f"MoonPalace got no answer: {flow.error.msg if flow.error else 'no error'}"
    body = error_body(quoted(why), UPSTREAM_PROTOCOL.kind, request.path)
    return Response.make(502, body, {"Content-Type": "application/json"})


def use(call: Call, account: Account, ready: Ready, ttl: int) -> None:
    """Add the headers that name a cache to a request."""
    call.flow.request.headers[USE] = ready.cache_id
    call.flow.request.headers[RESET] = str(ttl)
    state = call.state(ContextCacheState)
    state.cache = (account, ready)
    state.outcome = CREATED if state.outcome == CREATED else UNUSED
    call.changes.append(f"headers: {USE}: {ready.cache_id}, {RESET}: {ttl}")


def chooses_itself(call: Call, content: Content) -> bool:
    """Return whether the client uses a cache itself, named in a header or in the first message."""
    if USE in call.flow.request.headers:
        return True
    start, end = content.messages[0]
    return re.match(rb'[^"]*"role"\s*:\s*"cache"', content.body[start : min(end, start + 100)]) is not None


def saved_tokens(response: Response) -> bool:
    """Return whether an answer reports tokens saved by a context cache."""
    return response.headers.get(SAVED, "0").strip() not in ("", "0")


def names_cache(response: Response, cache_id: str) -> bool:
    """Return whether an error is about the cache that the request named."""
    text = answer_text(response)
    return cache_id in text or NAMES_CACHE.search(text) is not None


async def result_within(making: asyncio.Task[Ready | None], seconds: float) -> Ready | None:
    """Return the cache if it is created within `seconds`; its creation continues otherwise."""
    done, _ = await asyncio.wait({making}, timeout=seconds)
    return making.result() if done and not making.cancelled() else None

"""Context caches that fail, by the name of their model."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import override

from moonpalace_cli.mock.answers import Answer, json_answer
from moonpalace_cli.mock.caching import Cache, CacheEndpoints, Caches, description, missing
from moonpalace_cli.mock.chat_request import ChatRequest, parse_object
from moonpalace_cli.mock.completions import Fields
from moonpalace_cli.mock.failures import BROKEN, Failure, RejectedError, invalid, not_found
from moonpalace_cli.mock.scenarios import Delivery

PENDING = "mock-cache-pending"
FAILED = "mock-cache-error"
LOST = ("mock-cache-lost", "mock-cut")  # mock-cut: a call whose second try, without the cache, fails too
REFUSED = "mock-cache-refused"
IGNORED = "mock-cache-ignored"
PENDING_LOOKS = 2
NOT_MADE: dict[object, Failure] = {
    "mock-cache-404": not_found("The requested resource was not found: POST /v1/caching"),
    "mock-cache-405": Failure(405, "invalid_request_error", "Method not allowed: POST /v1/caching"),
    "mock-cache-410": Failure(410, "resource_not_found_error", "Context caching is no longer offered"),
    "mock-cache-500": BROKEN,
}


class OddCaches(Caches):
    """Context caches that become ready late or never, or cannot be used in calls."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._looks: Counter[str] = Counter()

    @override
    def add(self, owner: str, body: bytes) -> Cache:
        cache = super().add(owner, body)
        status = {PENDING: "pending", FAILED: "error"}.get(cache.model, "ready")
        changed = self._kept[cache.id] = replace(cache, status=status)
        return changed

    def look(self, owner: str, cache_id: str) -> Cache:
        """Return a cache; a pending one becomes ready after some lookups."""
        cache = self.find(owner, cache_id)
        self._looks[cache_id] += 1
        if cache.model == PENDING and self._looks[cache_id] == PENDING_LOOKS:
            cache = self._kept[cache_id] = replace(cache, status="ready")
        return cache

    @override
    def use(self, owner: str, cache_id: str, request: ChatRequest, reset: str | None) -> int | None:
        cache = self.find(owner, cache_id)
        if cache.model in LOST:
            raise RejectedError(missing(cache.id))
        if cache.model == REFUSED:
            raise RejectedError(invalid(f"the context cache {cache.id} cannot be used now"))
        saved = super().use(owner, cache_id, request, reset)
        return None if cache.model == IGNORED else saved


class OddCacheEndpoints(CacheEndpoints):
    """Answer the calls to `/v1/caching`, incorrectly for some models; `slow` is in seconds."""

    def __init__(self, caches: OddCaches, slow: float) -> None:
        super().__init__(caches)
        self._odd = caches
        self._slow = slow

    @override
    def create(self, owner: str, body: bytes, digest: str) -> Answer:
        model = parse_object(body).get("model")
        if isinstance(model, str) and model in NOT_MADE:
            raise RejectedError(NOT_MADE[model])
        answer = json_answer(digest, described(self._odd.add(owner, body)))
        if model == "mock-cache-slow":
            return replace(answer, delivery=Delivery(before_headers=self._slow))
        return replace(answer, delivery=Delivery("stall")) if model == "mock-cache-stall" else answer

    @override
    def show(self, owner: str, cache_id: str, digest: str) -> Answer:
        return json_answer(digest, described(self._odd.look(owner, cache_id)))


def described(cache: Cache) -> Fields:
    """Return the API's description of a cache, with the reason of a failure."""
    error: Fields = {"error": {"type": "server_error", "message": "the cache could not be made"}}
    return description(cache) | (error if cache.status == "error" else {})

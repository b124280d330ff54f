"""The context caches of the mock, and its endpoint for them: creation, lookup, use, and time to live."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from moonpalace_cli.mock.answers import Answer, json_answer
from moonpalace_cli.mock.chat_request import (
    ChatRequest,
    Json,
    canonical,
    message_tokens,
    parse_messages,
    parse_model,
    parse_object,
    parse_positive,
)
from moonpalace_cli.mock.completions import Fields
from moonpalace_cli.mock.failures import Failure, RejectedError, invalid, not_found

DEFAULT_TTL = 3600  # seconds the oldest are dropped
MAX_CACHES = 10_000  # the oldest give way
FAMILY = "moonshot-v1"


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache; `owner` identifies the key that created it, times are seconds since 1970."""

    id: str
    owner: str
    model: str
    messages: tuple[str, ...]
    tools: str
    tokens: int
    created_at: float
    expires_at: float
    metadata: Json
    status: str = "ready"


class Caches:
    """All caches by id; `clock` returns seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[str, Cache] = {}
        self._made = 0

    def add(self, owner: str, body: bytes) -> Cache:
        """Create a cache from a request; raise `RejectedError` (400)."""
        value, now = parse_object(body), self._clock()
        messages = parse_messages(value)
        self._made += 1
        name = hashlib.sha256(f"{owner} {self._made}".encode() + body).hexdigest()[:24]
        cache = Cache(
            id=f"cache-{name}",
            owner=owner,
            model=parse_model(value, FAMILY),
            messages=tuple(map(canonical, messages)),
            tools=_tools(value.get("tools")),
            tokens=sum(map(message_tokens, messages)),
            created_at=now,
            expires_at=now + (parse_positive(value, "ttl") or DEFAULT_TTL),
            metadata=value.get("metadata"),
        )
        self._kept[cache.id] = cache
        if len(self._kept) > MAX_CACHES:
            del self._kept[next(iter(self._kept))]
        return cache

    def all(self, owner: str) -> list[Json]:
        """Return the descriptions of an owner's caches, the oldest first."""
        return [description(cache) for cache in self._kept.values() if self._is_there(cache, owner)]

    def find(self, owner: str, cache_id: str) -> Cache:
        """Return a cache, or raise `RejectedError` with status 404."""
        cache = self._kept.get(cache_id)
        if cache is None or not self._is_there(cache, owner):
            raise RejectedError(missing(cache_id))
        return cache

    def remove(self, owner: str, cache_id: str) -> Fields:
        """Delete a cache, or raise `RejectedError` with status 404."""
        self.find(owner, cache_id)
        del self._kept[cache_id]
        return {"id": cache_id, "object": "context_cache", "deleted": True}

    def use(self, owner: str, cache_id: str, request: ChatRequest, reset: str | None) -> int | None:
        """Return the tokens that a cache saves a request; None if the API ignores the cache.

        `reset` is the value of the header that sets a new time to live. Raise `RejectedError`: 404 for a cache that is
        missing, expired or another owner's, 400 for a request that does not begin with it.
        """
        cache = self.find(owner, cache_id)
        _check(cache, request)
        if reset is not None:
            if not reset.isascii() or not reset.isdigit() or int(reset) < 1:
                raise RejectedError(invalid("X-Msh-Context-Cache-Reset-TTL must be a whole number of seconds above 0"))
            self._kept[cache_id] = replace(cache, expires_at=self._clock() + int(reset))
        return cache.tokens

    def _is_there(self, cache: Cache, owner: str) -> bool:
        return cache.owner == owner and cache.expires_at > self._clock()


def family(model: str) -> str:
    """Return the model family that a cache is for: moonshot-v1 models of all sizes share theirs."""
    return FAMILY if model.startswith(f"{FAMILY}-") else model


def owner_of(key: str) -> str:
    """Return the owner that identifies a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _check(cache: Cache, request: ChatRequest) -> None:
    wrong = ""
    if cache.status != "ready":
        wrong = f"is not ready: its status is {cache.status}"
    elif family(request.model) != family(cache.model):
        wrong = f"is for the model {cache.model}"
    elif _tools(request.offered) != cache.tools:
        wrong = "has other tools than the request"
    elif tuple(map(canonical, request.messages[: len(cache.messages)])) != cache.messages:
        wrong = "has other messages than those that the request begins with"
    if wrong:
        raise RejectedError(invalid(f"the context cache {cache.id} {wrong}"))


def missing(cache_id: str) -> Failure:
    """Return the failure for a missing cache."""
    return not_found(f"Not found the context cache {cache_id}")


def _tools(offered: Json) -> str:
    return canonical(offered or [])


def description(cache: Cache) -> Fields:
    """Return a cache as the API describes it."""
    return {
        "id": cache.id,
        "object": "context_cache",
        "status": cache.status,
        "model": cache.model,
        "tokens": cache.tokens,
        "created_at": int(cache.created_at),
        "expired_at": int(cache.expires_at),
        "metadata": cache.metadata,
    }


PATH = "/v1/caching"


class CacheEndpoints:
    """Answer the calls to `/v1/caching` and below."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    @staticmethod
    def serves(path: str) -> bool:
        """Return whether a path is one of these."""
        return path == PATH or path.startswith(f"{PATH}/")

    def answer(self, method: str, path: str, key: str, body: bytes, digest: str) -> Answer:
        """Answer a call, or raise `RejectedError`."""
        owner = owner_of(key)
        match method, path.removeprefix(PATH).split("/"):
            case "POST", [""]:
                return self.create(owner, body, digest)
            case "GET", [""]:
                return json_answer(digest, {"object": "list", "data": self._caches.all(owner)})
            case "GET", ["", cache_id]:
                return self.show(owner, cache_id, digest)
            case "DELETE", ["", cache_id]:
                return json_answer(digest, self._caches.remove(owner, cache_id))
            case _:
                raise RejectedError(not_found(f"The requested resource was not found: {method} {path}"))

    def create(self, owner: str, body: bytes, digest: str) -> Answer:
        """Answer the request to make a cache, or raise `RejectedError`."""
        return json_answer(digest, description(self._caches.add(owner, body)))

    def show(self, owner: str, cache_id: str, digest: str) -> Answer:
        """Answer with the description of a cache, or raise `RejectedError`."""
        return json_answer(digest, description(self._caches.find(owner, cache_id)))

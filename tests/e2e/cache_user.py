"""A user of a proxy with `--auto-cache`, and the resulting calls and caches."""

import asyncio
import zlib
from dataclasses import dataclass

import httpx
import openai

from moonpalace_addons.store.records import context_caches, identity
from moonpalace_addons.store.records.context_caches import ContextCache
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.wire.secrets import masking
from moonpalace_cli.mock.scenarios import Times
from moonpalace_cli.mock.served import Served
from tests.authorities import NO_AUTHORITIES
from tests.e2e.launching import Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

type Messages = list[dict[str, object]]

CHAT = "/v1/chat/completions"
CACHING = "/v1/caching"
MODEL = "mock-cache"
CACHED = ("--auto-cache", "--cache-min-bytes", "1000")
QUICK = Times(loop=0, slow=0, headers=0.5, split=0, reset=0.02)
PATIENCE = 60.0
HTTP = httpx.Client(timeout=PATIENCE, trust_env=False, verify=NO_AUTHORITIES)
"""The connections of all users."""


def name_of(key: str) -> str:
    """Return a name for the user of a key; the key itself, or a part of it, would be masked in the rows."""
    return f"user-{zlib.crc32(key.encode()):08x}"


@dataclass
class User:
    """A user with a separate key who calls a proxy with the SDK, and checks the calls and caches."""

    proxy: Proxy
    mock: MockServer
    key: str

    @property
    def name(self) -> str:
        """The mark of the user's calls."""
        return name_of(self.key)

    def ask(
        self, messages: Messages, *, model: str = MODEL, stream: bool = False, key: str = "", **more: object
    ) -> tuple[str, int]:
        """Return the text of the answer and the cached tokens of its usage."""
        sdk = openai.OpenAI(
            base_url=f"{self.proxy.url}/v1",
            api_key=key or self.key,
            max_retries=0,
            timeout=PATIENCE,
            default_headers={"X-Request-Id": self.name},
            http_client=HTTP,
        )
        request = {"model": model, "messages": messages, "stream": stream, **more}
        if stream:
            request["stream_options"] = {"include_usage": True}
        answer = sdk.chat.completions.create(**request)
        if not stream:
            return answer.choices[0].message.content, answer.usage.prompt_tokens_details.cached_tokens
        chunks = list(answer)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return text, chunks[-1].usage.prompt_tokens_details.cached_tokens

    def rows(self, count: int) -> list[Exchange]:
        """Return the rows of the user's calls, oldest first, once there are this many and all are over."""
        return self.proxy.rows(count, of={"client_request_id": self.name})

    def outcomes(self, count: int) -> list[str | None]:
        """Return the cache outcomes of this many calls."""
        return [row.cache_outcome for row in self.rows(count)]

    def caches(self) -> list[ContextCache]:
        """Return the rows of the user's caches, the oldest first."""
        with self.proxy.engine.connect() as connection:
            fingerprint = masking.fingerprint(self.key.encode(), identity.fingerprint_key(connection))
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


def history(turns: int, *, system: str = "You are a helpful assistant. ") -> Messages:
    """Return a conversation: long instructions, and this many questions and answers before the last question."""
    messages: Messages = [{"role": "system", "content": system * 60}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"question {turn}"})
        messages.append({"role": "assistant", "content": f"answer {turn} " * 10})
    return [*messages, {"role": "user", "content": f"question {turns}"}]


async def ask_at_once(urls: list[str], key: str, count: int) -> list[int]:
    """Send this many identical calls together, to these proxies in turn; return their status codes."""
    body = {"model": MODEL, "messages": history(1)}
    headers = {"Authorization": f"Bearer {key}", "X-Request-Id": name_of(key)}
    async with httpx.AsyncClient(headers=headers, timeout=PATIENCE, trust_env=False, verify=NO_AUTHORITIES) as client:
        calls = (client.post(f"{urls[number % len(urls)]}{CHAT}", json=body) for number in range(count))
        return [answer.status_code for answer in await asyncio.gather(*calls)]

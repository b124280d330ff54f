"""Select context caches for calls, and create, renew and delete them.

Caches are kept in memory per account. The store is queried for those of other proxies, and decides which of several
proxies creates a cache. All but `find`, whose wait is bounded, runs in the background.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from moonpalace_addons.caching.api import (
    CREATE_TIMEOUT,
    Account,
    CacheInfo,
    CachingApi,
    CachingError,
    CachingUnsupportedError,
    Ready,
)
from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.records import context_caches as records
from moonpalace_addons.store.records.cache_access import CacheAccess
from moonpalace_addons.wire.chat.prefix import Content, Prefix, cache_request, family

logger = logging.getLogger("moonpalace")

UNSUPPORTED_PAUSE = 3600.0
"""Seconds before an endpoint without caches is asked again with the same key."""
MIN_PAUSE = 10.0
MAX_PAUSE = 600.0
MAX_ACCOUNTS = 1000
EXPIRY_MARGIN = 1.0
"""Seconds before its expiry from which a cache is not used: the request takes time to arrive."""
FLUSH_INTERVAL = 1.0
CORRECTION_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds between attempts to correct the row of a call, which may not be written yet."""


@dataclass(slots=True)
class AccountCaches:
    """The caches of one account. `paused_until` is a time of the monotonic clock.

    `dropped` are the numbers of the rows that are still in the store although their caches were refused.
    """

    account: Account
    ready: dict[bytes, Ready] = field(default_factory=dict)
    making: dict[bytes, asyncio.Task[Ready | None]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    loading: asyncio.Task[None] | None = None
    paused_until: float = 0.0
    failures: int = 0


class Caches:
    """The caches of all accounts. `ttl` and `cleanup` are in seconds."""

    def __init__(self, access: CacheAccess, api: CachingApi, *, ttl: int, cleanup: int) -> None:
        self.access = access
        self.api = api
        self.ttl = ttl
        self.cleanup = cleanup
        self._accounts: dict[Account, AccountCaches] = {}
        self._used: dict[int, tuple[AccountCaches, Ready]] = {}
        self._corrections: dict[str, asyncio.Task[None]] = {}

    def _account_caches(self, account: Account) -> AccountCaches:
        caches = self._accounts.pop(account, None) or AccountCaches(account)
        caches.account = account  # the same key may arrive in another spelling of its header
        self._accounts[account] = caches
        while len(self._accounts) > MAX_ACCOUNTS:
            del self._accounts[next(iter(self._accounts))]
        return caches

    async def find(self, account: Account, prefixes: Sequence[Prefix]) -> Ready | None:
        """Return the live cache of the first prefix that has one, or None."""
        caches = self._account_caches(account)
        cache = _live_cache(caches, prefixes)
        if cache is not None or not prefixes or prefixes[0].digest in caches.making:
            return cache
        if caches.loading is None:
            caches.loading = asyncio.create_task(self._load(caches))
        await asyncio.wait({caches.loading})
        return _live_cache(caches, prefixes)

    async def _load(self, caches: AccountCaches) -> None:
        """Load the caches in the store, which other proxies may have created."""
        try:
            account = caches.account
            rows = await self.access.read(records.alive, account.endpoint, account.fingerprint, microseconds())
            if rows is None:
                return
            caches.dropped.intersection_update([row.id for row in rows])
            for row in rows:
                if row.cache_id is not None and row.prefix_hash not in caches.ready and row.id not in caches.dropped:
                    ends = time.monotonic() + row.expires_at / 1e6 - time.time() - EXPIRY_MARGIN
                    caches.ready[row.prefix_hash] = Ready(row.id, row.cache_id, row.prefix_messages, ends)
        finally:
            caches.loading = None

    def make(self, account: Account, content: Content, prefix: Prefix) -> asyncio.Task[Ready | None] | None:
        """Start creating a cache in the background; return None if one is being created or after a recent failure."""
        caches = self._account_caches(account)
        if prefix.digest in caches.making or time.monotonic() < caches.paused_until:
            return None
        body = cache_request(content, prefix, self.ttl)
        task = asyncio.create_task(self._make(caches, prefix, family(content.model), body))
        caches.making[prefix.digest] = task
        task.add_done_callback(lambda _: caches.making.pop(prefix.digest, None))
        return task

    def making(self, account: Account, prefix: Prefix) -> asyncio.Task[Ready | None] | None:
        """Return the task that creates the cache of a prefix in this process, or None."""
        return self._account_caches(account).making.get(prefix.digest)

    async def _make(self, caches: AccountCaches, prefix: Prefix, model: str, body: bytes) -> Ready | None:
        """Return the new cache; log any failure and return None."""
        try:
            number = await self._claim(caches.account, prefix, model)
            return None if number is None else await self._request(caches, prefix, number, body)
        except CachingUnsupportedError as gone:
            self._pause_unsupported(caches, str(gone))
        except (CachingError, StoreError) as error:
            self._pause(caches, str(error))
        except Exception:
            logger.exception(
                "context cache: creation failed because of a fault in MoonPalace; calls continue without a cache"
            )
            caches.paused_until = time.monotonic() + MAX_PAUSE
        return None

    async def _request(self, caches: AccountCaches, prefix: Prefix, number: int, body: bytes) -> Ready:
        """Have the API create a cache; on failure delete the row that claims it."""
        began = time.monotonic()
        try:
            created = await self.api.create(caches.account, body)
        except BaseException:
            self.access.write_later(records.forget, [number])
            raise
        ends = time.monotonic() + self._lifetime(created) - EXPIRY_MARGIN
        ready = caches.ready[prefix.digest] = Ready(number, created.cache_id, prefix.messages, ends)
        caches.failures = 0
        self.access.write_later(
            records.finish, number, created.cache_id, tokens=created.tokens, expires_at=stored_expiry(ready)
        )
        took = time.monotonic() - began
        text = "context cache %s: created from %d messages, %d bytes, in %.1f s"
        logger.info(text, created.cache_id, prefix.messages, prefix.size, took)
        return ready

    async def _claim(self, account: Account, prefix: Prefix, model: str) -> int | None:
        now = microseconds()
        until = now + int((CREATE_TIMEOUT + 30) * 1e6)
        request = records.Claim(
            account.endpoint, account.fingerprint, prefix.digest, prefix.messages, prefix.size, model, now, until
        )
        return await self.access.write(records.claim, request)

    def _lifetime(self, created: CacheInfo) -> float:
        """Return the lifetime of a new cache in seconds; the API's expiry counts only if it is in the future."""
        remaining = 0.0 if created.expires_at is None else created.expires_at - time.time()
        return min(self.ttl, remaining) if remaining > 0 else self.ttl

    def _pause(self, caches: AccountCaches, why: str) -> None:
        pause = min(MAX_PAUSE, MIN_PAUSE * 2**caches.failures)
        caches.failures += 1
        caches.paused_until = time.monotonic() + pause
        logger.warning("context cache: creation failed, next attempt in %g s at the earliest: %s", pause, why)

    def _pause_unsupported(self, caches: AccountCaches, why: str) -> None:
        if time.monotonic() >= caches.paused_until:  # log it once for concurrent failures
            logger.warning(
                "context cache: %s answers %s: it offers no caches for this key and is not asked again for an hour; "
                "newer models cache automatically, and --cache-key-hint helps them",
                caches.account.endpoint,
                why,
            )
        caches.paused_until = time.monotonic() + UNSUPPORTED_PAUSE

    def none_made(self, uuid: str) -> None:
        """Correct the row of a call that ended before the creation of its cache failed."""
        task = self._corrections[uuid] = asyncio.create_task(self._correct(uuid))
        task.add_done_callback(lambda _: self._corrections.pop(uuid, None))

    async def _correct(self, uuid: str) -> None:
        for pause in CORRECTION_DELAYS:
            await asyncio.sleep(pause)  # the writer's process writes the row later
            try:
                if await self.access.write(records.withdraw_created, uuid):
                    return
            except StoreError as error:
                logger.warning("context cache: a call's row wrongly says that a cache was created: %s", error)
                return

    def used(self, account: Account, ready: Ready) -> None:
        """Record that the API has used a cache, which renews its lifetime."""
        caches = self._account_caches(account)
        ready.expires_at = time.monotonic() + self.ttl - EXPIRY_MARGIN
        ready.uses += 1
        self._used[ready.number] = (caches, ready)

    def drop(self, account: Account, ready: Ready) -> None:
        """Drop a cache that the API refuses."""
        self._used.pop(ready.number, None)
        caches = self._account_caches(account)
        self._discard(caches, ready)
        caches.dropped.add(ready.number)
        self.access.write_later(records.forget, [ready.number])

    @staticmethod
    def _discard(caches: AccountCaches, ready: Ready) -> None:
        for digest in [digest for digest, other in caches.ready.items() if other is ready]:
            del caches.ready[digest]

    async def flush(self) -> None:
        """Store which caches were used; drop those whose rows are gone, and delete them at the API."""
        used, self._used = self._used, {}
        for number, (caches, ready) in used.items():
            uses, ready.uses = ready.uses, 0
            end = stored_expiry(ready)
            if not await self.access.write(records.touch, number, uses=uses, used_at=microseconds(), expires_at=end):
                self._discard(caches, ready)
                await self.api.delete(caches.account, ready.cache_id)

    async def clean_up(self) -> None:
        """Drop caches unused for `cleanup` seconds, and delete those at the API whose key is in memory."""
        before = microseconds() - self.cleanup * 1_000_000
        unused = await self.access.write(records.pop_unused, before)
        for row in unused:
            caches = next((caches for account, caches in self._accounts.items() if belongs_to(row, account)), None)
            if caches is None or row.cache_id is None:
                continue
            caches.ready.pop(row.prefix_hash, None)
            if time.monotonic() >= caches.paused_until:
                await self.api.delete(caches.account, row.cache_id)
        if unused:
            logger.info("context cache: dropped %d caches unused for %d s", len(unused), self.cleanup)

    async def watch(self) -> None:
        """Flush and clean up periodically until cancelled."""
        cleaned, pause = time.monotonic(), min(60.0, max(1.0, self.cleanup / 4))
        while True:
            await asyncio.sleep(FLUSH_INTERVAL)
            try:
                await self.flush()
                if time.monotonic() - cleaned >= pause:
                    cleaned = time.monotonic()
                    await self.clean_up()
            except StoreError as error:
                logger.warning("context cache: could not store which caches were used: %s", error)
            except Exception:
                logger.exception("context cache: the clean-up failed because of a fault in MoonPalace")

    async def close(self) -> None:
        """Cancel creations, and store pending uses and corrections."""
        tasks = [task for caches in self._accounts.values() for task in caches.making.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for uuid, correction in list(self._corrections.items()):
            correction.cancel()
            self.access.write_later(records.withdraw_created, uuid)
        for number, (_, ready) in self._used.items():
            end = stored_expiry(ready)
            self.access.write_later(records.touch, number, uses=ready.uses, used_at=microseconds(), expires_at=end)
        await self.access.close()


def _live_cache(caches: AccountCaches, prefixes: Sequence[Prefix]) -> Ready | None:
    now = time.monotonic()
    for digest in [digest for digest, ready in caches.ready.items() if ready.expires_at <= now]:
        del caches.ready[digest]
    return next((caches.ready[prefix.digest] for prefix in prefixes if prefix.digest in caches.ready), None)


def stored_expiry(ready: Ready) -> int:
    """Return a cache's expiry in microseconds since the epoch, as stored for all proxies."""
    return microseconds() + int((ready.expires_at + EXPIRY_MARGIN - time.monotonic()) * 1e6)


def belongs_to(row: records.ContextCache, account: Account) -> bool:
    """Return whether a row belongs to an account."""
    return (row.endpoint, row.key_fingerprint) == (account.endpoint, account.fingerprint)


def microseconds() -> int:
    """Return the time since the epoch in microseconds."""
    return time.time_ns() // 1000

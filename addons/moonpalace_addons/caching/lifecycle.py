"""Decide which context cache a call uses, and when one is made, kept alive or deleted.

What is known is held in memory by account; the store is asked where that does not help, and says which of several
proxies makes a cache. Everything but `find`, whose wait is bounded, happens beside the calls.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from moonpalace_addons.caching.api import CREATE_LIMIT, Account, CachingApi, CachingError, CachingGoneError, Made
from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.records import context_caches as records
from moonpalace_addons.store.records.cache_access import CacheAccess
from moonpalace_addons.wire.chat.prefix import Content, Prefix, cache_request, family

logger = logging.getLogger("moonpalace")

GONE_PAUSE = 3600.0
"""Seconds for which an endpoint that has no caches is not asked again with the same key."""
LEAST_PAUSE = 10.0
MOST_PAUSE = 600.0
MOST_ACCOUNTS = 1000
MARGIN = 1.0
"""Seconds before its end at which a cache is not used any more: the request is still on its way."""
FLUSH = 1.0
CORRECTIONS = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds after which the row of a call is looked for that has to be corrected, from one time to the next."""


@dataclass(slots=True)
class Ready:
    """A cache that can be used until `expires_at`, a time of the monotonic clock; `uses` have not been written down."""

    number: int
    cache_id: str
    messages: int
    expires_at: float
    uses: int = 0


@dataclass(slots=True)
class Known:
    """What is known of one account. `paused_until` is a time of the monotonic clock."""

    account: Account
    ready: dict[bytes, Ready] = field(default_factory=dict)
    making: dict[bytes, asyncio.Task[Ready | None]] = field(default_factory=dict)
    looking: asyncio.Task[None] | None = None
    paused_until: float = 0.0
    failures: int = 0


class Caches:
    """The caches of all accounts; `ttl` and `cleanup` are in seconds."""

    def __init__(self, access: CacheAccess, api: CachingApi, *, ttl: int, cleanup: int) -> None:
        self.access = access
        self.api = api
        self.ttl = ttl
        self.cleanup = cleanup
        self._known: dict[Account, Known] = {}
        self._used: dict[int, tuple[Known, Ready]] = {}
        self._corrections: dict[str, asyncio.Task[None]] = {}

    def _of(self, account: Account) -> Known:
        known = self._known.pop(account, None) or Known(account)
        known.account = account  # the key may have come back in another spelling of its header
        self._known[account] = known
        while len(self._known) > MOST_ACCOUNTS:
            del self._known[next(iter(self._known))]
        return known

    async def find(self, account: Account, prefixes: Sequence[Prefix]) -> Ready | None:
        """Return the cache of the first of these prefixes that has one alive."""
        known = self._of(account)
        found = _alive(known, prefixes)
        if found is not None or not prefixes or prefixes[0].digest in known.making:
            return found
        if known.looking is None:
            known.looking = asyncio.create_task(self._look(known))
        await asyncio.wait({known.looking})
        return _alive(known, prefixes)

    async def _look(self, known: Known) -> None:
        """Take over what the store has, such as the caches that another proxy made."""
        try:
            account = known.account
            rows = await self.access.read(records.alive, account.endpoint, account.fingerprint, microseconds())
            for row in rows or ():
                if row.cache_id is not None and row.prefix_hash not in known.ready:
                    ends = time.monotonic() + row.expires_at / 1e6 - time.time() - MARGIN
                    known.ready[row.prefix_hash] = Ready(row.id, row.cache_id, row.prefix_messages, ends)
        finally:
            known.looking = None

    def make(self, account: Account, content: Content, prefix: Prefix) -> asyncio.Task[Ready | None] | None:
        """Begin to make a cache beside the call; None where that is already under way, or put off after a failure."""
        known = self._of(account)
        if prefix.digest in known.making or time.monotonic() < known.paused_until:
            return None
        body = cache_request(content, prefix, self.ttl)
        task = asyncio.create_task(self._make(known, prefix, family(content.model), body))
        known.making[prefix.digest] = task
        task.add_done_callback(lambda _: known.making.pop(prefix.digest, None))
        return task

    def making(self, account: Account, prefix: Prefix) -> asyncio.Task[Ready | None] | None:
        """Return the task in which this proxy makes a cache."""
        return self._of(account).making.get(prefix.digest)

    async def _make(self, known: Known, prefix: Prefix, model: str, body: bytes) -> Ready | None:
        """Return the new cache; None, with a line in the log, if there is none for whatever reason."""
        try:
            number = await self._claim(known.account, prefix, model)
            return None if number is None else await self._ask(known, prefix, number, body)
        except CachingGoneError as gone:
            self._pause_for_long(known, str(gone))
        except (CachingError, StoreError) as error:
            self._pause(known, str(error))
        except Exception:
            logger.exception("context cache: none is made because of a fault in MoonPalace; calls go on without")
            known.paused_until = time.monotonic() + MOST_PAUSE
        return None

    async def _ask(self, known: Known, prefix: Prefix, number: int, body: bytes) -> Ready:
        """Have the API make a cache; without one, the row that claims it goes."""
        began = time.monotonic()
        try:
            made = await self.api.create(known.account, body)
        except BaseException:
            self.access.write_later(records.forget, [number])
            raise
        ends = time.monotonic() + self._life_of(made) - MARGIN
        ready = known.ready[prefix.digest] = Ready(number, made.cache_id, prefix.messages, ends)
        known.failures = 0
        self.access.write_later(
            records.finish, number, made.cache_id, tokens=made.tokens, expires_at=end_for_others(ready)
        )
        took = time.monotonic() - began
        text = "context cache %s: made of %d messages, %d bytes, in %.1f s"
        logger.info(text, made.cache_id, prefix.messages, prefix.size, took)
        return ready

    async def _claim(self, account: Account, prefix: Prefix, model: str) -> int | None:
        now = microseconds()
        until = now + int((CREATE_LIMIT + 30) * 1e6)
        wanted = records.Claim(
            account.endpoint, account.fingerprint, prefix.digest, prefix.messages, prefix.size, model, now, until
        )
        return await self.access.write(records.claim, wanted)

    def _life_of(self, made: Made) -> float:
        """Return how many seconds a new cache lives; the API's word counts where its clock agrees with ours."""
        said = 0.0 if made.expires_at is None else made.expires_at - time.time()
        return min(self.ttl, said) if said > 0 else self.ttl

    def _pause(self, known: Known, why: str) -> None:
        pause = min(MOST_PAUSE, LEAST_PAUSE * 2**known.failures)
        known.failures += 1
        known.paused_until = time.monotonic() + pause
        logger.warning("context cache: none could be made, next try in %g s at the earliest: %s", pause, why)

    def _pause_for_long(self, known: Known, why: str) -> None:
        if time.monotonic() >= known.paused_until:  # several at once say so once
            logger.warning(
                "context cache: %s answers %s: it makes no caches for this key, and is not asked again for an hour; "
                "newer models cache by themselves, and --cache-key-hint helps them",
                known.account.endpoint,
                why,
            )
        known.paused_until = time.monotonic() + GONE_PAUSE

    def none_made(self, uuid: str) -> None:
        """Correct the row of a call that ended while its cache was being made, which then failed."""
        task = self._corrections[uuid] = asyncio.create_task(self._correct(uuid))
        task.add_done_callback(lambda _: self._corrections.pop(uuid, None))

    async def _correct(self, uuid: str) -> None:
        for pause in CORRECTIONS:
            await asyncio.sleep(pause)  # the row is written by others, soon
            try:
                if await self.access.write(records.none_created, uuid):
                    return
            except StoreError as error:
                logger.warning("context cache: a row says wrongly that one was created: %s", error)
                return

    def used(self, account: Account, ready: Ready) -> None:
        """Note that the API has used a cache, and with that reset its end."""
        known = self._of(account)
        ready.expires_at = time.monotonic() + self.ttl - MARGIN
        ready.uses += 1
        self._used[ready.number] = (known, ready)

    def drop(self, account: Account, ready: Ready) -> None:
        """Forget a cache that the API refuses."""
        self._used.pop(ready.number, None)
        self._discard(self._of(account), ready)
        self.access.write_later(records.forget, [ready.number])

    @staticmethod
    def _discard(known: Known, ready: Ready) -> None:
        for digest in [digest for digest, other in known.ready.items() if other is ready]:
            del known.ready[digest]

    async def flush(self) -> None:
        """Write down which caches were used; those whose rows are gone are forgotten, and deleted at the API."""
        used, self._used = self._used, {}
        for number, (known, ready) in used.items():
            uses, ready.uses = ready.uses, 0
            end = end_for_others(ready)
            if not await self.access.write(records.touch, number, uses=uses, used_at=microseconds(), expires_at=end):
                self._discard(known, ready)
                await self.api.delete(known.account, ready.cache_id)

    async def clean_up(self) -> None:
        """Forget the caches that nobody used for long, and delete those at the API whose key is at hand."""
        before = microseconds() - self.cleanup * 1_000_000
        unused = await self.access.write(records.take_unused, before)
        for row in unused:
            known = next((known for account, known in self._known.items() if is_of(row, account)), None)
            if known is None or row.cache_id is None:
                continue
            known.ready.pop(row.prefix_hash, None)
            if time.monotonic() >= known.paused_until:
                await self.api.delete(known.account, row.cache_id)
        if unused:
            logger.info("context cache: %d unused for %d s are forgotten", len(unused), self.cleanup)

    async def watch(self) -> None:
        """Flush and clean up until cancelled."""
        cleaned, pause = time.monotonic(), min(60.0, max(1.0, self.cleanup / 4))
        while True:
            await asyncio.sleep(FLUSH)
            try:
                await self.flush()
                if time.monotonic() - cleaned >= pause:
                    cleaned = time.monotonic()
                    await self.clean_up()
            except StoreError as error:
                logger.warning("context cache: what was used could not be written down: %s", error)
            except Exception:
                logger.exception("context cache: the clean-up failed because of a fault in MoonPalace")

    async def close(self) -> None:
        """Stop making caches, and write down what is known."""
        tasks = [task for known in self._known.values() for task in known.making.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for uuid, correction in list(self._corrections.items()):
            correction.cancel()
            self.access.write_later(records.none_created, uuid)
        for number, (_, ready) in self._used.items():
            end = end_for_others(ready)
            self.access.write_later(records.touch, number, uses=ready.uses, used_at=microseconds(), expires_at=end)
        await self.access.close()


def _alive(known: Known, prefixes: Sequence[Prefix]) -> Ready | None:
    now = time.monotonic()
    for digest in [digest for digest, ready in known.ready.items() if ready.expires_at <= now]:
        del known.ready[digest]
    return next((known.ready[prefix.digest] for prefix in prefixes if prefix.digest in known.ready), None)


def end_for_others(ready: Ready) -> int:
    """Return when a cache ends, in microseconds since the epoch: what the store says to all proxies."""
    return microseconds() + int((ready.expires_at + MARGIN - time.monotonic()) * 1e6)


def is_of(row: records.ContextCache, account: Account) -> bool:
    """Tell whether a row is an account's."""
    return (row.endpoint, row.key_fingerprint) == (account.endpoint, account.fingerprint)


def microseconds() -> int:
    """Return the time since the epoch."""
    return time.time_ns() // 1000

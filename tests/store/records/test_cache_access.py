"""The store as used by the event loop: never blocking for long, and never raising the database's exceptions."""

import asyncio
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.records import context_caches
from moonpalace_addons.store.records.cache_access import READ_TIMEOUT, CacheAccess, open_access


def refusing(_: Engine) -> int:
    """Fail as a locked database does."""
    raise OperationalError("SELECT 1", {}, Exception("database is locked"))


def test_read(engine: Engine) -> None:
    """The result of the function is returned."""

    async def run() -> object:
        access = CacheAccess(engine)
        result = await access.read(context_caches.all_caches)
        await access.close()
        return result

    assert asyncio.run(run()) == []


def test_a_store_that_hangs(engine: Engine) -> None:
    """A read that takes too long gives None; until it is over, others give None immediately."""
    release = threading.Event()

    def hanging(_: Engine) -> int:
        release.wait(20)
        return 1

    async def run() -> tuple[object, float, object, float, object]:
        access = CacheAccess(engine)
        began = time.monotonic()
        first = await access.read(hanging)
        waited = time.monotonic() - began
        second = await access.read(hanging)
        also = time.monotonic() - began - waited
        release.set()
        await asyncio.to_thread(access._readers.shutdown)
        return first, waited, second, also, access._reading

    first, waited, second, also, reading = asyncio.run(run())
    assert (first, second, reading) == (None, None, False)
    assert waited >= READ_TIMEOUT
    assert also < READ_TIMEOUT


def test_a_store_that_refuses(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """A failed read gives None, a failed write our own error, and one without a waiter a log line."""

    async def run() -> object:
        access = CacheAccess(engine)
        result = await access.read(refusing)
        with pytest.raises(StoreError, match="the store refuses: database is locked"):
            await access.write(refusing)
        access.write_later(refusing)
        await access.close()
        return result

    assert asyncio.run(run()) is None
    assert "could not be looked up: database is locked" in caplog.text
    assert "could not be written down: database is locked" in caplog.text


def test_what_waits_is_written(engine: Engine) -> None:
    """Closing completes pending writes."""
    done: list[int] = []

    def note(_: Engine, number: int) -> None:
        done.append(number)

    async def run() -> None:
        access = CacheAccess(engine)
        for number in range(3):
            access.write_later(note, number)
        await access.close()

    asyncio.run(run())
    assert done == [0, 1, 2]


def test_access_to_a_store(store_url: str, engine: Engine) -> None:
    """It gives access to that store; the key for fingerprints is the store's own."""
    with engine.connect() as connection:
        own = connection.execute(text("SELECT fingerprint_key FROM store_identity")).scalar_one()

    async def run() -> None:
        access, key = open_access(store_url)
        assert key == own
        assert await access.read(context_caches.all_caches) == []
        await access.close()

    asyncio.run(run())


def test_no_access_to_what_is_no_store(tmp_path: Path) -> None:
    """A missing store gives one line."""
    with pytest.raises(StoreError, match="there is no database at"):
        open_access(f"sqlite:///{tmp_path / 'none.sqlite'}")

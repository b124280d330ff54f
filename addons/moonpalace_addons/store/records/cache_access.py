"""Access the rows of context caches from the event loop, on threads, so that no lookup or lock delays a call."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Concatenate

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import identity

logger = logging.getLogger(__name__)

READ_TIMEOUT = 0.25
"""Maximum seconds that a call waits for the store."""


class CacheAccess:
    """Run functions of an engine: reads on one thread; writes, which may wait for a lock, on another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = ThreadPoolExecutor(1, "moonpalace-cache-read")
        self._writers = ThreadPoolExecutor(1, "moonpalace-cache-write")
        self._reading = False

    async def read[**P, T](
        self, function: Callable[Concatenate[Engine, P], T], *args: P.args, **named: P.kwargs
    ) -> T | None:
        """Return the result of a reading function.

        None if the store fails, takes longer than `READ_TIMEOUT`, or is still busy with the previous read.
        """
        if self._reading:
            return None
        self._reading = True

        def work() -> T | None:
            try:
                return function(self._engine, *args, **named)
            except SQLAlchemyError as error:
                logger.warning("store: the context caches could not be looked up: %s", first_line(error))
                return None
            finally:
                self._reading = False

        done, _ = await asyncio.wait({asyncio.wrap_future(self._readers.submit(work))}, timeout=READ_TIMEOUT)
        return done.pop().result() if done else None

    async def write[**P, T](self, function: Callable[Concatenate[Engine, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Return the result of a writing function, however long it takes; raises StoreError if the store fails."""
        try:
            return await asyncio.wrap_future(self._writers.submit(function, self._engine, *args, **named))
        except SQLAlchemyError as error:
            raise StoreError(f"the store refuses: {first_line(error)}") from error

    def write_later[**P](
        self, function: Callable[Concatenate[Engine, P], object], *args: P.args, **named: P.kwargs
    ) -> None:
        """Run a writing function without waiting for it; failures are logged."""
        self._writers.submit(function, self._engine, *args, **named).add_done_callback(log_failure)

    async def close(self) -> None:
        """Finish pending writes and close the store."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._writers.shutdown)
        self._engine.dispose()


def open_access(url: str) -> tuple[CacheAccess, bytes]:
    """Return access to a store and the key for its fingerprints of API keys; raises StoreError."""
    engine = open_store(url)
    try:
        with engine.connect() as connection:
            return CacheAccess(engine), identity.fingerprint_key(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        raise StoreError(f"the store refuses: {first_line(error)}") from error


def log_failure(future: Future[object]) -> None:
    """Log the exception of a finished function, if any."""
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.warning("store: a context cache could not be written down: %s", first_line(error))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return next(iter(str(getattr(error, "orig", None) or error).splitlines()), type(error).__name__)

"""Begin a call, find and pause a process, and read a stored stream."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.writer_process.client import WriterClient
from tests.writer_process.calls import Call

type Rows = Callable[[], list[Exchange]]


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Pause a process inside the block; it always continues, unless it was killed."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def pid_of(client: WriterClient) -> int:
    """Return the pid of a client's process."""
    return client._process._process.pid


def backlog(client: WriterClient) -> tuple[int, int]:
    """Return the approximate bytes of ended, unconfirmed calls, and the number of spooled messages."""
    return client._unconfirmed.waiting, len(client._spool)


def begin(client: WriterClient, call: Call) -> None:
    """Begin a call's answer."""
    client.put(call.request)
    client.put(call.response)


def stream(file: Path, call_id: int) -> tuple[bytes | None, list[tuple[int, int]]]:
    """Return the stream of a stored call, and its chunks."""
    engine = open_store(f"sqlite:///{file}")
    try:
        return contents.bodies(engine, call_id).event_stream, contents.event_times(engine, call_id)
    finally:
        engine.dispose()

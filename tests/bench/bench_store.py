"""What the store takes: bytes on disk for each captured byte, and time for each call."""

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import batched
from pathlib import Path

from sqlalchemy import Engine, text

from moonpalace_addons.store import cleaning, indexing
from moonpalace_addons.store.batch import Batch
from moonpalace_addons.store.engine import open_store, writing
from moonpalace_addons.store.records import identity, runs
from moonpalace_addons.store.records.retention import Rule
from tests.bench.store_load import Author, Call, session, tasks, unrelated
from tests.bench.wanted import at_most

SESSION = 3.0
"""What a session may take for each byte of its last request."""
LOADS = ((2_000, None), (5_000, 1.3), (10_000, 1.3), (20_000, 1.3))
"""Bytes of unrelated calls, and what they may take for each byte of their bodies; of the smallest, the rows and headers
are a third of what there is to keep."""
DELAY = 1.0
"""Seconds that another writer may wait while old calls are deleted: calls are to be on disk within this."""


def new_store(folder: str) -> Engine:
    """Return an engine on a new store."""
    return open_store(f"sqlite:///{folder}/moonpalace.sqlite", create=True)


def begun(engine: Engine) -> Batch:
    """Return a batch of a run that is written down."""
    run = {"id": "00000000-0000-4000-8000-000000000000", "host": "bench", "pid": 1, "version": "0"}
    with writing(engine) as connection:
        runs.begin_run(connection, run)
        return Batch(str(run["id"]), identity.fingerprint_key(connection))


def size(engine: Engine) -> int:
    """Return the bytes of a store's files, once the write-ahead log is taken in."""
    with engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    folder = Path(str(engine.url.database)).parent
    return sum(file.stat().st_size for file in folder.iterdir())


def stored(engine: Engine, calls: Iterable[Call]) -> tuple[int, float]:
    """Store calls as a proxy with little to do does, each in two transactions; return the bytes and seconds it took.

    The bytes are those of the index of words too, which the proxy makes afterwards.
    """
    batch, author = begun(engine), Author(3)
    before, seconds = size(engine), 0.0
    for number, call in enumerate(calls):
        for task in tasks(call, number, author):
            began = time.thread_time()
            batch.plan([task], keep=False)
            with writing(engine) as connection:
                batch.store(connection)
            batch.stored()
            batch.finished()
            seconds += time.thread_time() - began
    indexing.catch_up(engine)
    return size(engine) - before, seconds


def peer(calls: Iterable[Call]) -> int:
    """Return the bytes that the same bodies take in plain SQLite, one row with both for each call."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plain.sqlite"
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, request BLOB, response BLOB)")
        connection.executemany(
            "INSERT INTO calls (request, response) VALUES (?, ?)", ((call.request, call.response) for call in calls)
        )
        connection.commit()
        connection.close()
        return file.stat().st_size


def line(name: str, calls: list[Call], wanted: float | None, *, is_session: bool = False) -> str:
    """Measure one load, against the bytes of its bodies, or against the last request of a session."""
    with tempfile.TemporaryDirectory() as folder:
        engine = new_store(folder)
        taken, seconds = stored(engine, calls)
        engine.dispose()
    captured = sum(len(call.request) + len(call.response) for call in calls)
    ratio = taken / (len(calls[-1].request) if is_session else captured)
    told = f"{ratio:6.3f} x {'last request' if is_session else 'bodies'} {at_most(ratio, wanted, '')}"
    return (
        f"{name:<34} {told:<45} {taken / peer(calls):5.2f} x whole bodies in plain SQLite"
        f"  {seconds / len(calls) * 1e6:5.0f} us per call"
    )


def time_disk() -> Iterator[str]:
    """Bytes on disk, indexes and headers and all, against the bytes of the bodies, and the writer's time."""
    for streamed, kind in ((False, "JSON"), (True, "stream")):
        yield line(f"session of 100 turns, {kind}", list(session(streamed=streamed)), SESSION, is_session=True)
        for length, wanted in LOADS:
            calls = list(unrelated(1000, length, streamed=streamed))
            yield line(f"1,000 calls of {length // 1000} KB, {kind}", calls, wanted)


def time_tables() -> Iterator[str]:
    """Where the bytes of 1,000 unrelated calls of 5 KB are."""
    with tempfile.TemporaryDirectory() as folder:
        engine = new_store(folder)
        stored(engine, unrelated(1000, 5000, streamed=False))
        with engine.connect() as connection:
            found = connection.execute(
                text("SELECT name, sum(pgsize), sum(unused) FROM dbstat GROUP BY name ORDER BY 2 DESC")
            ).all()
        engine.dispose()
    for name, taken, unused in found:
        yield f"{name:<34} {taken:>9} bytes, {unused / taken:4.0%} unused"


def time_cleanup() -> Iterator[str]:
    """How long another writer waits for the lock while 10,000 calls are deleted from a store of 100 MB, and without."""
    with tempfile.TemporaryDirectory() as folder:
        engine = new_store(folder)
        batch, author = begun(engine), Author(3)
        planned = [
            task
            for number, call in enumerate(unrelated(11_000, 8000, streamed=False))
            for task in tasks(call, number, author)
        ]
        for some in batched(planned, 400):
            batch.plan(some, keep=False)
            with writing(engine) as connection:
                batch.store(connection)
            batch.stored()
            batch.finished()
        yield told("alone", engine, lambda: time.sleep(3))
        rule = Rule(keep_last=1000)
        yield told("during the clean-up", engine, lambda: cleaning.clean(engine, rule, None, threading.Event()))
        yield f"{size(engine) / 1e6:.1f} MB are left"
        engine.dispose()


def told(name: str, engine: Engine, work: Callable[[], object]) -> str:
    """Write every 5 ms while work is done; return how long the writes took."""
    took, done = list[float](), threading.Event()

    def write() -> None:
        other = open_store(engine.url.render_as_string(hide_password=False))
        while not done.wait(0.005):
            began = time.perf_counter()
            with writing(other) as connection:
                runs.touch_run(connection, "00000000-0000-4000-8000-000000000000")
            took.append(time.perf_counter() - began)
        other.dispose()

    writer = threading.Thread(target=write)
    writer.start()
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    done.set()
    writer.join()
    took.sort()
    middle, slow, worst = (took[int((len(took) - 1) * part)] * 1000 for part in (0.5, 0.99, 1))
    return (
        f"{name:<20} {seconds:5.1f} s, {len(took)} writes: p50 {middle:.1f} ms, p99 {slow:.1f} ms, worst {worst:.1f} ms"
        f" {at_most(worst, DELAY * 1000, 'ms')}"
    )

"""The size of the store for each captured byte, and the time for each call."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges, identity, runs
from moonpalace_addons.store.upkeep import indexing
from moonpalace_addons.store.write.host import new_run
from tests.batches import Batch
from tests.bench import query_corpus
from tests.bench.store_load import Author, Call, session, tasks, unrelated
from tests.bench.wanted import at_most

SESSION = 3.0
"""Maximum size of a session for each byte of its last request."""
LOADS = ((2_000, None), (5_000, 1.3), (10_000, 1.3), (20_000, 1.3))
"""Bytes of unrelated calls, and what they may take for each byte of their bodies; of the smallest, the rows and headers
are a third of what there is to keep."""
CLEANED, KEPT = 50_000, 1_000
"""Calls that a clean-up deletes and keeps."""
CLEANUP = 10.0
"""Seconds that it may take while no proxy uses the store."""
WRITER_DELAY, READER_DELAY = 0.35, 0.02
"""Seconds that a proxy's writer and a reader may wait for one."""


def new_store(folder: str) -> Engine:
    """Return an engine on a new store."""
    return open_store(f"sqlite:///{folder}/moonpalace.sqlite", create=True)


def begun(engine: Engine) -> Batch:
    """Return a batch of a recorded run."""
    run = {"id": "00000000-0000-4000-8000-000000000000", "host": "bench", "pid": 1, "version": "0"}
    with writing(engine) as connection:
        runs.begin_run(connection, run)
        return Batch(str(run["id"]), identity.fingerprint_key(connection))


def size(engine: Engine) -> int:
    """Return the bytes of a store's files, after a checkpoint of the write-ahead log."""
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
    """Return the bytes of the same bodies in plain SQLite, one row with both for each call."""
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
    """Clean 50,000 calls up while no proxy uses the store, then beside one: how long its writer and a reader wait."""
    with copied() as engine:
        seconds = timed(lambda: clean_up(engine))
        wanted = at_most(seconds, CLEANUP, "s")
        yield f"{'without a proxy':<20} {seconds:5.1f} s {wanted}, {size(engine) / 1e6:.1f} MB left"
    with copied() as engine, beside_proxy(engine) as waits:
        yield from told("a proxy alone", waits, timed(lambda: time.sleep(3)))
        yield from told("beside a clean-up", waits, timed(lambda: clean_up(engine)))


def clean_up(engine: Engine) -> None:
    """Run `mpal cleanup` in a separate process."""
    command = (sys.executable, "-m", "moonpalace_cli.main", "cleanup")
    options = ("--keep-last", str(KEPT), "--database", str(engine.url.database))
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def copied() -> Iterator[Engine]:
    """Give an engine on a store with many calls."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copyfile(query_corpus.store(CLEANED + KEPT), Path(folder) / "moonpalace.sqlite")
        engine = open_store(f"sqlite:///{copy}")
        yield engine
        engine.dispose()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds for some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def beside_proxy(engine: Engine) -> Iterator[dict[str, list[float]]]:
    """Write as a proxy and read every 5 ms; give the seconds of each operation, by writer and reader."""
    run, done = new_run(), threading.Event()
    with writing(engine) as connection:
        runs.begin_run(connection, run)

    def write(other: Engine) -> None:
        with writing(other) as connection:
            runs.touch_run(connection, str(run["id"]))

    def read(other: Engine) -> None:
        exchanges.latest(other, limit=20)

    def repeat(work: Callable[[Engine], None], took: list[float]) -> None:
        other = open_store(engine.url.render_as_string(hide_password=False))
        while not done.wait(0.005):
            took.append(timed(lambda: work(other)))
        other.dispose()

    waits: dict[str, list[float]] = {"writer": [], "reader": []}
    threads = [
        threading.Thread(target=repeat, args=(work, waits[name]))
        for name, work in (("writer", write), ("reader", read))
    ]
    for thread in threads:
        thread.start()
    yield waits
    done.set()
    for thread in threads:
        thread.join()


def told(name: str, waits: dict[str, list[float]], seconds: float) -> Iterator[str]:
    """Yield how long writer and reader waited in the last `seconds`, and reset that."""
    for who, wanted in (("writer", WRITER_DELAY), ("reader", READER_DELAY)):
        took = sorted(waits[who])
        waits[who].clear()
        middle, slow, worst = (took[int((len(took) - 1) * part)] * 1000 for part in (0.5, 0.99, 1))
        yield (
            f"{name:<20} {seconds:5.1f} s, {who} {len(took)} times: p50 {middle:.1f} ms, p99 {slow:.1f} ms,"
            f" worst {worst:.1f} ms {at_most(worst, wanted * 1000, 'ms')}"
        )

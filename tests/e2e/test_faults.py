"""Databases and proxies that fail under load: no call fails because of it, and every row is stored once.

`MOONPALACE_FAULT_ROUNDS` is how often a proxy is killed (50 for a thorough run), `MOONPALACE_FAULT_SECONDS` how long a
store is unavailable (20 for a thorough run, whose proxies wait for it as long as by default).
"""

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.e2e.surviving import HASTE, PAUSE, SECONDS, database, integrity, opened, survive
from tests.faults import Answer, Lasting, Load, assert_stored, assert_told, stalled
from tests.scenarios.server import MockServer
from tests.waiting import until

ROUNDS = int(os.environ.get("MOONPALACE_FAULT_ROUNDS", "2"))
ON_DISK = 0.1
"""Age in seconds from which an answer survives the death of proxy and writer, on a machine that is not overloaded."""
PATIENCE = 60.0
STORED = "New Row Inserted"


def missing(path: Path) -> bool:
    """Return whether no file has this name."""
    return not path.exists()


def has_logged(proxy: Proxy, text: str, times: int) -> bool:
    """Return whether the log contains a text this many times."""
    return proxy.log.text.count(text) == times


def has_stored_more(proxy: Proxy, before: int) -> bool:
    """Return whether more calls have been stored than before."""
    return proxy.log.text.count(STORED) > before


@pytest.mark.parametrize("all_of_it", [False, True], ids=["proxy", "proxy-and-writer"])
def test_a_killed_proxy_loses_nothing_that_was_answered(launch: Launcher, mock: MockServer, all_of_it: bool) -> None:
    """After SIGKILL the file is valid; its rows and answers `ON_DISK` seconds old are stored whole, once."""
    folder = launch.folder()
    file = database(folder)
    chance = random.Random(7)
    lags: list[float] = []
    count = 0
    for number in range(ROUNDS):
        with launch.start(endpoint=mock.url, folder=folder) as proxy:
            load = Load(proxy.url, clients=10, name=f"round-{number}", pause=0.05)
            PAUSE.wait(chance.uniform(0.2, 2.0))
            until(partial(any_is_safe, load, file))
            writer = Path(f"/proc/{proxy.writer}")
            seen, killed, waited = completed(file), time.monotonic(), stalled()
            proxy.kill(writer=all_of_it)
            load.stop()
        until(partial(missing, writer))
        assert integrity(file) == ["ok"]
        safe = {
            name: answer for name, answer in load.answers.items() if name in seen or is_safe(answer, killed, waited)
        }
        count += len(safe)
        with opened(f"sqlite:///{file}") as engine:
            lags.append(lag(engine, load, killed))
            assert_stored(engine, safe)
            left = [row for row in exchanges.latest(engine, limit=None) if row.state is State.IN_FLIGHT]
            assert all_of_it or not left  # the writer, left alone, has ended what was under way
    with launch.start(endpoint=mock.url, folder=folder) as proxy, opened(f"sqlite:///{file}") as engine:
        proxy.stop()
        states = {row.state for row in exchanges.latest(engine, limit=None)}
        assert states <= {State.COMPLETED, State.PROXY_DIED}
    assert count
    report = " ".join(f"{1000 * each:.0f}" for each in sorted(lags))
    print(f"{count} calls; age in ms of the oldest answer that was not stored, by round: {report}")  # noqa: T201 - for long runs


def test_a_killed_writer_loses_nothing(launch: Launcher, mock: MockServer) -> None:
    """After repeated SIGKILLs of the writer no call has failed, all are stored once, and each death is one log line."""
    folder = launch.folder()
    file = database(folder)
    chance = random.Random(7)
    with launch.start(endpoint=mock.url, folder=folder) as proxy:
        load = Load(proxy.url, clients=10, pause=0.02)
        for number in range(1, ROUNDS + 1):
            stored = proxy.log.text.count(STORED)
            until(partial(has_stored_more, proxy, stored))
            PAUSE.wait(chance.uniform(0.0, 0.5))
            os.kill(proxy.writer, signal.SIGKILL)
            until(partial(has_logged, proxy, "restarting it", number))
        load.stop()
        assert load.broken == 0
        proxy.stop(storing=600)  # while the writer was being started again, many calls came that nobody took
        assert integrity(file) == ["ok"]
    # What the store could not take within the time of the stop is in a journal, for the next start.
    with launch.start(endpoint=mock.url, folder=folder), opened(f"sqlite:///{file}") as engine:
        until(lambda: not list(file.parent.glob("*.journal*")))
        assert_stored(engine, load.answers)


def test_each_stop_tells_what_its_clients_got(launch: Launcher, mock: MockServer) -> None:
    """After a stop under load, rows and clients agree on each call: complete, refused, or cut off at the same byte."""
    chance = random.Random(7)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    ends = Counter[str]()
    for number in range(ROUNDS):
        with launch.start(endpoint=mock.url) as proxy:
            short = Lasting(proxy.url, clients=6, delay=0.002, events=chance.randrange(20, 200), name="short")
            endless = Lasting(proxy.url, clients=5, delay=0.02, events=2_000, name="endless")
            PAUSE.wait(chance.uniform(0.2, 1.0))
            proxy.process.send_signal(numbers[number % 3])
            proxy.log.wait_for("a second signal ends them")
            PAUSE.wait(chance.uniform(0.0, 1.0))
            proxy.stop(numbers[number % 2])
            for load in (short, endless):
                load.join()
            ends += assert_told(proxy.engine, short.got | endless.got)
    assert ends["whole"]
    assert ends["cut"]
    print(f"ends of calls in {ROUNDS} stops: {dict(ends)}")  # noqa: T201 - for long runs


def any_is_safe(load: Load, file: Path) -> bool:
    """Return whether any answer has to survive a failure now."""
    now, waited, seen = time.monotonic(), stalled(), completed(file)
    return any(name in seen or is_safe(answer, now, waited) for name, answer in tuple(load.answers.items()))


def completed(file: Path) -> set[str]:
    """Return the names of the completed calls in a store."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT client_request_id FROM exchanges WHERE state = ?", [State.COMPLETED])
        return {name for (name,) in rows}


def is_safe(answer: Answer, at: float, waited: float) -> bool:
    """Return whether an answer must be on disk at a time before which writing had stalled for `waited` seconds."""
    return at - answer.at - max(0.0, waited - answer.stalled) > ON_DISK


def lag(engine: Engine, load: Load, killed: float) -> float:
    """Return the age, when the proxy was killed, of the oldest answer that is not in the store."""
    over = {row.client_request_id for row in exchanges.latest(engine, limit=None) if row.state is State.COMPLETED}
    return max((killed - answer.at for name, answer in load.answers.items() if name not in over), default=0.0)


def test_a_locked_store_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """While another process holds a write lock calls continue; after it is released, all are stored."""
    folder = launch.folder()

    @contextmanager
    def hurt() -> Iterator[None]:
        holder = sqlite3.connect(database(folder), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        ends = time.monotonic() + SECONDS
        yield
        PAUSE.wait(max(0.0, ends - time.monotonic()))
        holder.execute("ROLLBACK")
        holder.close()

    with launch.start(endpoint=mock.url, folder=folder, extra=HASTE) as proxy:
        survive(proxy, f"sqlite:///{database(folder)}", hurt)
    assert integrity(database(folder)) == ["ok"]


def test_a_stop_while_the_store_is_locked_loses_nothing(launch: Launcher, mock: MockServer) -> None:
    """If the store is locked when a proxy is stopped, it logs where it leaves the calls; the next proxy stores them."""
    folder = launch.folder()
    file = database(folder)
    with launch.start(endpoint=mock.url, folder=folder, extra=HASTE) as proxy:
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        load = Load(proxy.url, clients=4)
        until(lambda: len(load.answers) > 100)
        load.stop()
        idle = HTTPConnection("127.0.0.1", int(proxy.url.rpartition(":")[2]), timeout=PATIENCE)
        idle.request("GET", "/v1/models")
        idle.getresponse().read()
        proxy.process.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""  # nobody hangs, and nobody is let in, for as long as that takes
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            idle.connect()
        assert proxy.process.poll() is None
        assert proxy.process.wait(PATIENCE) == 0
        holder.execute("ROLLBACK")
        holder.close()
        (journal,) = file.parent.glob("*.journal")
        assert str(journal) in proxy.log.whole()
        assert journal.stat().st_mode & 0o777 == 0o600
    with (
        launch.start(endpoint=mock.url, folder=folder) as proxy,
        opened(f"sqlite:///{file}") as engine,
    ):
        until(lambda: not journal.exists())
        assert_stored(engine, load.answers)

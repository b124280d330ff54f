"""Databases and proxies that fail under load: no call fails for it, and afterwards every row is there, once.

`MOONPALACE_FAULT_ROUNDS` says how often a proxy is killed (50 for a thorough run), `MOONPALACE_FAULT_SECONDS` for how
long a store is out of order (20 for a thorough run, whose proxies wait for it as long as they do elsewhere).
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.writer import JOIN_TIMEOUT
from tests.e2e.launching import IMPATIENT
from tests.faults import Lasting, Load, all_over, assert_stored, assert_told, stalled
from tests.scenarios.server import MockServer
from tests.waiting import until

if TYPE_CHECKING:
    from tests.e2e.launching import Launcher, Proxy
    from tests.postgres_server import PostgresServer

ROUNDS = int(os.environ.get("MOONPALACE_FAULT_ROUNDS", "2"))
SECONDS = float(os.environ.get("MOONPALACE_FAULT_SECONDS", "2"))
ON_DISK = 0.1
"""Seconds after which an answer survives the death of proxy and writer, if all get the processors that they want."""
ON_DISK_UNDER_LOAD = 2.0
"""So however many others want them too: what is slower than that is no matter of processors."""
HASTE = IMPATIENT if SECONDS < 10 else {}
PATIENCE = 60.0
TROUBLE = "calls continue, their rows wait in memory"
STORED = "New Row Inserted"
OVER = "store: works again"

PAUSE = threading.Event()


def missing(path: Path) -> bool:
    """Tell whether there is nothing with this name."""
    return not path.exists()


def has_said(proxy: Proxy, text: str, times: int) -> bool:
    """Tell whether the log says something so many times."""
    return proxy.log.text.count(text) == times


def has_stored_more(proxy: Proxy, before: int) -> bool:
    """Tell whether more calls have been stored than before."""
    return proxy.log.text.count(STORED) > before


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Open a store that somebody else has made."""
    engine = open_store(url)
    try:
        yield engine
    finally:
        engine.dispose()


def database(folder: Path) -> Path:
    """Return the database of a proxy whose home is in `folder`."""
    return folder / "moonpalace" / "moonpalace.sqlite"


def integrity(file: Path) -> list[str]:
    with sqlite3.connect(file) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        found += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
    connection.close()
    return found


@pytest.mark.parametrize("all_of_it", [False, True], ids=["proxy", "proxy-and-writer"])
def test_a_killed_proxy_loses_nothing_that_was_answered(launch: Launcher, mock: MockServer, all_of_it: bool) -> None:
    """SIGKILL at any moment: the file is sound; answers `ON_DISK` seconds old are there, whole and once."""
    folder = launch.folder()
    file = database(folder)
    chance = random.Random(7)
    lags: list[float] = []
    count = 0
    for number in range(ROUNDS):
        with launch.start(endpoint=mock.url, folder=folder) as proxy:
            load = Load(proxy.url, clients=10, name=f"round-{number}", pause=0.05)
            PAUSE.wait(chance.uniform(0.2, 2.0))
            writer = Path(f"/proc/{proxy.writer}")
            killed, waited = time.monotonic(), stalled()
            proxy.kill(writer=all_of_it)
            load.stop()
        until(partial(missing, writer))
        assert integrity(file) == ["ok"]
        ages = {name: killed - answer.at for name, answer in load.answers.items()}
        waits = {name: waited - answer.stalled for name, answer in load.answers.items()}
        late = [name for name, age in ages.items() if age - waits[name] > ON_DISK or age > ON_DISK_UNDER_LOAD]
        safe = {name: load.answers[name] for name in late}
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
    """SIGKILL of what writes, again and again: no call fails, all are stored once, and each death is one line."""
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
            until(partial(has_said, proxy, "it is started again", number))
        load.stop()
        assert load.broken == 0
        proxy.stop(storing=600)  # while the writer was being started again, many calls came that nobody took
        assert integrity(file) == ["ok"]
    # What the store could not take within the time of the stop is in a journal, for the next start.
    with launch.start(endpoint=mock.url, folder=folder), opened(f"sqlite:///{file}") as engine:
        until(lambda: not list(file.parent.glob("*.journal*")))
        assert_stored(engine, load.answers)


def test_each_stop_tells_what_its_clients_got(launch: Launcher, mock: MockServer) -> None:
    """Under load that goes on over the stop rows and clients agree call by call: whole, refused, cut at that byte."""
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


def lag(engine: Engine, load: Load, killed: float) -> float:
    """Return how old the oldest answer was, when the proxy was killed, that is not in the store."""
    over = {row.client_request_id for row in exchanges.latest(engine, limit=None) if row.state is State.COMPLETED}
    return max((killed - answer.at for name, answer in load.answers.items() if name not in over), default=0.0)


def survive(proxy: Proxy, url: str, hurt: object, *, pause: float = 0.05, trouble: bool = True) -> Load:
    """Hurt a store under load; check that no call fails, and that afterwards all are there, and the log is brief."""
    assert callable(hurt)
    load = Load(proxy.url, clients=8, pause=pause)
    until(lambda: len(load.answers) > 20)
    with hurt():
        begun = len(load.answers)
        if trouble:
            proxy.log.wait_for(TROUBLE)
        until(lambda: len(load.answers) > begun + 20)
    if trouble:
        proxy.log.wait_for(OVER)
    during = len(load.answers)
    until(lambda: len(load.answers) > during + 20)
    load.stop()
    assert load.broken == 0
    assert {answer.status for answer in load.answers.values()} == {200}
    with opened(url) as engine:
        until(lambda: all_over(engine, load.answers))
        proxy.stop()
        assert_stored(engine, load.answers)
    assert proxy.log.text.count(TROUBLE) == proxy.log.text.count(OVER) == int(trouble)
    return load


def test_a_locked_store_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """While another process holds a write lock calls go on; when it lets go, all are stored."""
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
    """A proxy that is told to stop while the store is locked says where it leaves the calls; the next one has them."""
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


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of 2 MB on a folder, for the length of a block; skip the test where that is not allowed."""
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """While a disk is full calls go on, though there is no room for a journal either; then all are stored."""
    folder = launch.folder()
    place = folder / "disk"
    place.mkdir()

    @contextmanager
    def hurt() -> Iterator[None]:
        yield  # the load fills it by itself
        subprocess.run(["mount", "-o", "remount,size=200m", str(place)], check=True)

    with small_disk(place):
        file = place / "calls.sqlite"
        with launch.start("--database", str(file), endpoint=mock.url, folder=folder) as proxy:
            survive(proxy, f"sqlite:///{file}", hurt, pause=0.0)
        assert integrity(file) == ["ok"]


def test_a_quota_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """While no file may grow calls go on; once they may again, all are stored."""
    folder = launch.folder()

    with launch.start(endpoint=mock.url, folder=folder) as proxy:

        @contextmanager
        def hurt() -> Iterator[None]:
            log = Path(f"{database(folder)}-wal")
            pid, most = proxy.writer, resource.RLIM_INFINITY
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 100_000, most))
            yield
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

        survive(proxy, f"sqlite:///{database(folder)}", hurt, pause=0.0)
    assert integrity(database(folder)) == ["ok"]


@pytest.mark.parametrize("tool", ["mpal", "mitmdump"])
def test_a_disk_that_stays_full_is_told(launch: Launcher, mock: MockServer, tool: str) -> None:
    """If neither the store nor a journal can take the last calls, the log says how many, and the exit code is 1."""
    if tool == "mpal":
        starting = launch.start(endpoint=mock.url, extra=HASTE)
    else:
        options = ("--listen-port", "0", "--set", f"moonpalace_endpoint={mock.url}")
        starting = launch.mitmproxy(tool, *options, extra=HASTE)
    with starting as proxy:
        until(lambda: (proxy.home / "moonpalace.sqlite").exists())
        resource.prlimit(proxy.writer, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        load = Load(proxy.url, clients=2, pause=0.05)
        until(lambda: len(load.answers) > 10)
        load.stop()
        assert load.broken == 0
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(JOIN_TIMEOUT + 5) == 1
        proxy.killed = True  # its exit code has been looked at
        said = proxy.log.whole()
    assert f"store: {len(load.answers)} calls could not be stored: " in said
    assert f"store: {len(load.answers)} calls are lost" in said
    last = "Error: not all calls could be stored: the log says how many, and why"
    assert said.rstrip().endswith(last if tool == "mpal" else "calls are lost, or not known to be stored")
    assert "Traceback" not in said


def test_a_file_that_cannot_be_written_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """While the file is immutable calls go on; once it can be written again, all are stored."""
    folder = launch.folder()
    file = database(folder)
    attribute = shutil.which("chattr")

    def change(flag: str) -> bool:
        # Not the shared memory beside it, which nobody writes with a system call that could fail.
        files = [str(file), f"{file}-wal"]
        return attribute is not None and not subprocess.run([attribute, flag, *files], check=False).returncode

    @contextmanager
    def hurt() -> Iterator[None]:
        try:
            if not change("+i"):
                pytest.skip("this machine does not let us make a file immutable")
            yield
        finally:
            change("-i")

    with launch.start(endpoint=mock.url, folder=folder) as proxy:
        survive(proxy, f"sqlite:///{file}", hurt)
    assert integrity(file) == ["ok"]


def test_a_file_that_is_deleted_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """If somebody deletes the database, calls that end after that are in a new one, sound and readable."""
    folder = launch.folder()
    file = database(folder)
    with launch.start(endpoint=mock.url, folder=folder) as proxy:
        before, after = Load(proxy.url, clients=4, name="before"), None
        until(lambda: len(before.answers) > 50)
        before.stop()
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()
        after = Load(proxy.url, clients=4, name="after")
        until(lambda: len(after.answers) > 50)
        after.stop()
        proxy.stop()
        assert f"{file} was deleted or replaced" in proxy.log.text
    assert integrity(file) == ["ok"]
    with opened(f"sqlite:///{file}") as engine:
        assert_stored(engine, after.answers)


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_postgresql_server_that_restarts_costs_no_call(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer, how: str
) -> None:
    """While the server is down calls go on; when it is back, the connection is made anew and all are stored, once."""

    @contextmanager
    def hurt() -> Iterator[None]:
        getattr(postgres_server, how)()
        yield
        PAUSE.wait(SECONDS / 6)
        postgres_server.start()

    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start("--database", url, endpoint=mock.url) as proxy:
            survive(proxy, url, hurt)


def test_a_postgresql_server_that_stands_still_costs_no_call(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer
) -> None:
    """While the server takes connections and says nothing calls go on; when it goes on, all are stored, once."""

    @contextmanager
    def hurt() -> Iterator[None]:
        postgres_server.freeze()
        yield
        postgres_server.thaw()

    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start("--database", f"{url}&connect_timeout=2", endpoint=mock.url, extra=HASTE) as proxy:
            survive(proxy, url, hurt)


def test_a_stop_while_the_server_stands_still_has_a_bound(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer
) -> None:
    """A proxy that is told to stop while the server says nothing leaves a journal, in the time that it is given."""
    folder = launch.folder()
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start(
            "--database", f"{url}&connect_timeout=2", endpoint=mock.url, folder=folder, extra=HASTE
        ) as proxy:
            load = Load(proxy.url, clients=4)
            until(lambda: len(load.answers) > 50)
            postgres_server.freeze()
            begun = len(load.answers)
            until(lambda: len(load.answers) > begun + 50)
            load.stop()
            proxy.process.send_signal(signal.SIGTERM)
            assert proxy.process.wait(JOIN_TIMEOUT + 5) == 0
        (journal,) = (folder / "moonpalace").glob("postgresql-*.journal")
        postgres_server.thaw()
        with (
            launch.start("--database", f"{url}&connect_timeout=2", endpoint=mock.url, folder=folder),
            opened(url) as engine,
        ):
            until(lambda: not journal.exists())
            assert_stored(engine, load.answers)


def test_a_stop_without_a_server_leaves_a_journal_at_home(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer
) -> None:
    """Calls that the server could not take before the proxy ended are in the home folder, and stored next time."""
    folder = launch.folder()
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start("--database", url, endpoint=mock.url, folder=folder, extra=HASTE) as proxy:
            postgres_server.stop()
            load = Load(proxy.url, clients=4)
            until(lambda: len(load.answers) > 50)
            load.stop()
            proxy.stop()
        (journal,) = (folder / "moonpalace").glob("postgresql-*.journal")
        postgres_server.start()
        with launch.start("--database", url, endpoint=mock.url, folder=folder), opened(url) as engine:
            until(lambda: not journal.exists())
            assert_stored(engine, load.answers)

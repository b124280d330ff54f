"""Disks and files that fail under load."""

import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moonpalace_addons.store.write.writer import JOIN_TIMEOUT
from tests.e2e.launching import Launcher
from tests.e2e.surviving import HASTE, database, integrity, opened, survive
from tests.faults import Load, assert_stored
from tests.scenarios.server import MockServer
from tests.waiting import until


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of 2 MB on a folder inside the block; skip the test where that is not permitted."""
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """While a disk is full calls continue, though there is no room for a journal either; later all are stored."""
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
    """While no file may grow calls continue; afterwards all are stored."""
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
    """If neither the store nor a journal can hold the last calls, the log has their number, and the exit code is 1."""
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
        log_text = proxy.log.whole()
    assert f"store: {len(load.answers)} calls could not be stored: " in log_text
    assert f"store: {len(load.answers)} calls are lost" in log_text
    last = "Error: not all calls could be stored: the log says how many, and why"
    assert log_text.rstrip().endswith(last if tool == "mpal" else "calls are lost, or not known to be stored")
    assert "Traceback" not in log_text


def test_a_file_that_cannot_be_written_costs_no_call(launch: Launcher, mock: MockServer) -> None:
    """While the file is immutable calls continue; afterwards all are stored."""
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
    """If somebody deletes the database, later calls are stored in a new one, which is valid and readable."""
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

"""What prevents `mpal start` from starting is a one-line error with an exit code, and nothing is damaged."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from moonpalace_addons.store.journal.journal_file import Journal
from tests.e2e.launching import Launcher
from tests.scenarios.server import MockServer
from tests.waiting import until

RUN = {"id": "0a6f27a4-1c1c-4b02-9e5c-6a0e7b0c0001", "host": "elsewhere", "pid": 1, "version": "0"}


def only_line(ended: subprocess.CompletedProcess[bytes], *codes: int) -> str:
    """Return the only line on a command's standard error."""
    assert ended.returncode in codes, ended.stderr
    assert ended.stdout == b""
    (line,) = ended.stderr.decode().splitlines()
    assert line.startswith("Error: ")
    return line


def test_a_port_in_use(launch: Launcher) -> None:
    """The error names the port, and the flag for another."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        line = only_line(launch.run("start", "--port", str(port)), 1)
    assert str(port) in line
    assert "--port" in line


def test_an_address_of_another_machine(launch: Launcher) -> None:
    """The error names an address that this machine does not have."""
    line = only_line(launch.run("start", "--port", "0", "--host", "192.0.2.1"), 1)
    assert "192.0.2.1" in line


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_not_a_database(launch: Launcher, content: bytes) -> None:
    """The error names a file that is not a database, which stays unchanged."""
    folder = launch.folder()
    file = folder / "something.sqlite"
    file.write_bytes(content)
    line = only_line(launch.run("start", "--port", "0", "--database", str(file), folder=folder), 1)
    assert "something.sqlite" in line
    assert file.read_bytes() == content


@pytest.mark.parametrize("place", ["file", "/proc/moonpalace"])
def test_a_folder_that_cannot_be_made(launch: Launcher, place: str) -> None:
    """The error names a home that cannot be created, also one below a file."""
    folder = launch.folder()
    (folder / "file").write_text("")
    home = Path(place) if place.startswith("/") else folder / place / "below"
    if place.startswith("/") and not home.parent.exists():
        pytest.skip("there is no /proc")
    line = only_line(launch.run("start", "--port", "0", extra={"MOONPALACE_HOME": str(home)}), 1)
    assert str(home) in line


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(launch: Launcher) -> None:
    """The error names a folder without write permission."""
    folder = launch.folder()
    home = folder / "moonpalace"
    home.mkdir(mode=0o500)
    assert str(home) in only_line(launch.run("start", "--port", "0", folder=folder), 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start:\n    port: many\n", ("config.yaml", "line 2", "port")),
        ("start:\n    prot: 8080\n", ("config.yaml", "line 2", "prot", "port")),
        ("start: [\n", ("config.yaml",)),
        ("- a\n- b\n", ("config.yaml",)),
    ],
)
def test_a_bad_config(launch: Launcher, text: str, words: tuple[str, ...]) -> None:
    """The error names the file, the line and the key."""
    folder = launch.folder()
    (folder / "moonpalace").mkdir()
    (folder / "moonpalace" / "config.yaml").write_text(text)
    line = only_line(launch.run("start", folder=folder), 1, 2)
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("arguments", "extra", "word"),
    [
        (("--port", "70000"), {}, "port"),
        (("--endpoint", "ftp://api.moonshot.cn"), {}, "endpoint"),
        (("--endpoint", "https://api.moonshot.cn/v1"), {}, "/v1"),
        (("--nonsense",), {}, "--nonsense"),
        ((), {"MOONPALACE_PROT": "1"}, "MOONPALACE_PORT"),
        ((), {"MOONPALACE_IDLE_TIMEOUT": "never"}, "MOONPALACE_IDLE_TIMEOUT"),
        (("--upstream-ca", "/nowhere/ca.pem"), {}, "upstream-ca"),
    ],
)
def test_a_bad_setting(launch: Launcher, arguments: tuple[str, ...], extra: dict[str, str], word: str) -> None:
    """The error names the flag or the variable."""
    assert word in only_line(launch.run("start", *arguments, extra=extra), 1, 2)


def test_two_proxies_may_share_a_store(launch: Launcher) -> None:
    """A second proxy on the same store starts, and does not close calls of the first as those of a dead proxy."""
    folder = launch.folder()
    endpoint = "http://127.0.0.1:9"
    with launch.start(endpoint=endpoint, folder=folder) as first, launch.start(endpoint=endpoint, folder=folder) as two:
        for proxy in (first, two):
            with proxy.client() as client:
                assert client.get("/v1/models").status_code == 502
        assert len(first.rows(2)) == 2


def test_a_journal_that_cannot_be_read(launch: Launcher, mock: MockServer) -> None:
    """It is set aside, as the log says, and does not prevent the start."""
    folder = launch.used_folder()
    path = folder / "moonpalace" / f"moonpalace.sqlite.{RUN['id']}.journal"
    journal = Journal.create(path, dict(RUN))
    journal.add([b"nonsense"])
    journal.close()
    with launch.start(endpoint=mock.url, folder=folder) as proxy, proxy.client() as client:
        until(lambda: f"it is kept as {path}.kept" in proxy.log.text)
        assert client.get("/v1/models").status_code == 200
        proxy.rows(1)

"""Proxies as real processes, each with its own home, and helpers for tests."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, select

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import State
from tests.authorities import NO_AUTHORITIES
from tests.forks import Command, Fork, Forks, Kind
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-e2e-client-0123456789"
ANNOUNCED = r'MoonPalace Starts => change base_url to "(https?://\S+)/v1"'
PATIENCE = 60.0
"""Seconds that a test waits for an expected event: long, because only a failure ever waits that long."""

IMPATIENT = {"PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("tests/impatient", "", "addons"))}
"""The environment of a proxy that gives up early on a store that does not answer."""

KINDS: tuple[Kind, ...] = ("mpal", "mitmproxy")

ALL = """
import json, sys
from moonpalace_cli.main import main
for each in json.loads(sys.argv[1]):
    print("mpal", *each, flush=True)
    assert not main(each)
"""
"""A script that runs several commands of `mpal`."""

type Process = subprocess.Popen[bytes] | Fork


def free_port() -> int:
    """Return a free port, below those that systems assign automatically."""
    while True:
        port = random.randrange(12_000, 30_000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


class Log:
    """The output of a process on both streams, read by a separate thread."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._changed = threading.Condition()
        self._lines = list[str]()
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """The text so far."""
        with self._changed:
            return self._joined()

    def _joined(self) -> str:
        self._lines = ["".join(self._lines)]
        return self._lines[0]

    def wait_for(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """Return the first match of a regular expression, as soon as it is printed."""
        with self._changed:
            found = self._changed.wait_for(lambda: re.search(pattern, self._joined()) or self._ended, timeout)
            match = found if isinstance(found, re.Match) else re.search(pattern, self._joined())
            assert match, f"{pattern!r} was not said: {self._joined()}"
            return match

    def says_before_the_end(self, text: str) -> bool:
        """Wait until something is printed, or the process ends; return which it was."""
        with self._changed:
            self._changed.wait_for(lambda: text in self._joined() or self._ended, PATIENCE)
            return text in self._joined() and not self._ended

    def whole(self) -> str:
        """Return the whole output of an ended process."""
        self._thread.join(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return self.text


@dataclass
class Proxy:
    """A proxy that listens; `home` is the folder MOONPALACE_HOME, `url` the address without `/v1`.

    `forks` is what other programs are forked from.
    """

    process: Process
    log: Log
    environment: dict[str, str]
    home: Path
    url: str
    forks: Forks
    killed: bool = False

    @cached_property
    def engine(self) -> Engine:
        """Return an engine on its store."""
        return open_store(f"sqlite:///{self.home / 'moonpalace.sqlite'}")

    def client(
        self,
        *,
        headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        base_url: str | None = None,
        proxy: str | None = None,
    ) -> httpx.Client:
        """Return a client of the proxy, which sends a key unless it is given other headers."""
        return httpx.Client(
            base_url=self.url if base_url is None else base_url,
            headers={"Authorization": f"Bearer {KEY}"} if headers is None else headers,
            proxy=proxy,
            timeout=PATIENCE,
            verify=NO_AUTHORITIES,
            trust_env=False,
        )

    def rows_so_far(self) -> list[Exchange]:
        """Return the rows of calls, over or not."""
        return exchanges.latest(self.engine, limit=10_000)

    def rows(self, count: int, *, of: Mapping[str, object] | None = None) -> list[Exchange]:
        """Return the rows that match `of`, oldest first, once there are `count` and all are over."""
        matching = [EXCHANGES.c[name] == value for name, value in (of or {}).items()]

        def is_over() -> bool:
            with self.engine.connect() as connection:
                states = connection.scalars(select(EXCHANGES.c.state).where(*matching)).all()
            return len(states) >= count and State.IN_FLIGHT not in states

        until(is_over)
        rows = [
            row for row in self.rows_so_far() if all(getattr(row, name) == value for name, value in (of or {}).items())
        ]
        assert len(rows) == count
        return rows[::-1]

    def row(self, request_id: str) -> Exchange:
        """Return the row of the call that the client sent with this `X-Request-Id`, once the call is over."""
        return self.rows(1, of={"client_request_id": request_id})[0]

    def bodies(self, row: Exchange) -> Bodies:
        """Return the bodies of a call."""
        return contents.bodies(self.engine, row.id)

    def mpal(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run another command of `mpal` on its store."""
        return self.forks.run(Command("mpal", arguments, self.environment), PATIENCE)

    def mpal_all(self, commands: list[tuple[str, ...]]) -> bytes:
        """Run commands of `mpal` one after another in one process, and return their whole output."""
        done = self.forks.run(Command("python", (ALL, json.dumps(commands)), self.environment), PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def stop(self, number: int = signal.SIGTERM, *, patiently: bool = False, storing: float = PATIENCE) -> None:
        """Stop the process, immediately or gracefully; it must succeed without an error of ours.

        `storing` is how many seconds it may take to store the rest.
        """
        if self.process.poll() is None:
            self.process.send_signal(number)
        if not patiently and self.log.says_before_the_end("a second signal ends them"):
            self.process.send_signal(number)
        code = self.process.wait(storing)
        output = self.log.whole()
        assert "Traceback" not in output, output
        assert self.killed or code == 0, f"exit code {code}: {output}"

    @property
    def writer(self) -> int:
        """Return the pid of its writer process, once there is one."""
        command = ["ps", "-o", "pid=", "--ppid", str(self.process.pid)]
        return int(until(lambda: subprocess.run(command, capture_output=True, check=False).stdout.strip()))

    def kill(self, *, writer: bool = False) -> None:
        """Kill the process, and before that its writer if requested, as a crash of the machine would."""
        self.killed = True
        if writer:
            os.kill(self.writer, signal.SIGKILL)
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self) -> None:
        """Stop it if it runs, and close the store."""
        try:
            self.stop()
        finally:
            self.process.kill()
            self.process.wait()
            self.log.whole()
            if "engine" in self.__dict__:
                self.engine.dispose()


def environment_in(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process whose home is in `folder`."""
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR", "MOONPALACE_ENGINE") if name in os.environ
    }
    paths = {"HOME": str(folder), "MOONPALACE_HOME": str(folder / "moonpalace")}
    python = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'addons'}", "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8"}
    # A resolver that cannot be reached must not hold up the call to a host that does not exist.
    return kept | paths | python | {"RES_OPTIONS": "timeout:1 attempts:1"} | dict(extra)


class Launcher:
    """Start processes, each with a separate folder unless one is given.

    Proxies are forks, unless imports or the command line matter, as in a `fresh` process.
    """

    def __init__(self, folders: pytest.TempPathFactory, used: Path) -> None:
        self._folders = folders
        self._used = used
        environment = environment_in(used, {})
        self._forks = {kind: Forks(kind, environment) for kind in KINDS}
        self._impatient = Forks("mpal", environment | IMPATIENT)

    def close(self) -> None:
        """End the process that others are forked from."""
        for forks in (*self._forks.values(), self._impatient):
            forks.close()

    def folder(self) -> Path:
        """Return a new folder."""
        return self._folders.mktemp("home")

    def used_folder(self) -> Path:
        """Return a new folder as after an earlier start, which saves a fifth of the start."""
        return Path(shutil.copytree(self._used, self.folder(), dirs_exist_ok=True))

    def environment(self, folder: Path | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a process whose home is a folder."""
        return environment_in(folder or self.folder(), extra or {})

    def run(
        self, *arguments: str, folder: Path | None = None, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command of `mpal` that ends by itself; `extra` are environment variables."""
        return self._forks["mpal"].run(Command("mpal", arguments, self.environment(folder, extra)), PATIENCE)

    def start(
        self,
        *arguments: str,
        endpoint: str = "",
        folder: Path | None = None,
        extra: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> AbstractContextManager[Proxy]:
        """Run `mpal start` on a free port for the length of a `with` block; `extra` are environment variables."""
        if endpoint:
            arguments = ("--endpoint", endpoint, *arguments)
        environment = self.environment(folder or self.used_folder(), extra)
        command = Command("mpal", ("start", "--port", "0", *arguments), environment)
        # Workers tell their own processes by their command lines.
        if fresh or "--workers" in arguments:
            return self._running(popen(command), environment)
        if environment["PYTHONPATH"] == IMPATIENT["PYTHONPATH"]:  # which changes what is imported
            return self._running(self._impatient.popen(command), environment)
        kind: Kind = "mitmproxy" if "--web" in arguments else "mpal"
        return self._running(self._forks[kind].popen(command), environment)

    def mitmproxy(
        self,
        tool: str,
        *arguments: str,
        announced: str = ANNOUNCED,
        extra: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> AbstractContextManager[Proxy]:
        """Run `mitmdump` or `mitmweb` with the bundle; `announced` is its message once it listens."""
        command = self.mitmproxy_command(tool, *arguments, extra=extra)
        environment = dict(command.environment)
        if fresh or "PYTHONPATH" in (extra or {}):
            return self._running(popen(command), environment, announced)
        return self._running(self._forks["mitmproxy"].popen(command), environment, announced)

    def mitmproxy_command(self, tool: str, *arguments: str, extra: Mapping[str, str] | None = None) -> Command:
        """Return the command that runs `mitmdump` or `mitmweb` with the bundle."""
        environment = self.environment(self.used_folder(), extra)
        folder = ("--set", f"confdir={environment['MOONPALACE_HOME']}/mitmproxy")
        return Command(tool, ("-s", "addons/moonpalace.py", *folder, *arguments), environment)

    def run_mitmdump(
        self, *arguments: str, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a `mitmdump` that is expected to end by itself."""
        command = self.mitmproxy_command("mitmdump", *arguments, extra=extra)
        return self._forks["mitmproxy"].run(command, PATIENCE)

    @contextmanager
    def _running(self, process: Process, environment: dict[str, str], announced: str = ANNOUNCED) -> Iterator[Proxy]:
        """Yield the proxy of a started process, once it listens."""
        log = Log(process)
        try:
            url = log.wait_for(announced)[1]
        except BaseException:
            process.kill()
            process.wait()
            log.whole()
            raise
        home = Path(environment["MOONPALACE_HOME"])
        proxy = Proxy(process, log, environment, home, url, self._forks["mpal"])
        try:
            yield proxy
        finally:
            proxy.close()


def popen(command: Command) -> subprocess.Popen[bytes]:
    """Start a process whose outputs are one pipe."""
    return subprocess.Popen(
        command.fresh,
        cwd=ROOT,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

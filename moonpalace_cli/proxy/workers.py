"""Serve with several processes on one port (`mpal start --workers N`): start, stop and restart them.

Each is a proxy of its own, with a writer process for the shared store. The system distributes connections among them
(SO_REUSEPORT). This process holds the port without listening, so that no other program can take it while a worker is
missing. A worker that dies is restarted, after a growing pause if it keeps dying early.
"""

import asyncio
import contextlib
import json
import logging
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings import banner
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.writer_process.console_process import ConsoleProcess
from moonpalace_cli.listening import cannot_listen

logger = logging.getLogger("moonpalace")

EARLY_EXIT_LIMIT = 10.0
"""Seconds within which a dying worker counts as failed, so that the next one has to wait."""
MAX_PAUSE = 30.0
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def serve(settings: Settings, count: int) -> None:
    """Serve until a signal; raise MoonPalaceError if the workers cannot start, or could not store all calls."""
    if settings.engine != "moonpalace":
        raise MoonPalaceError("--workers works with the engine moonpalace only: leave out --engine mitmproxy")
    with held_port(settings) as port:
        asyncio.run(Workers(replace(settings, port=port), count).run())


@contextlib.contextmanager
def held_port(settings: Settings) -> Iterator[int]:
    """Yield the port to listen on, reserved for this process and its children."""
    with bound(settings, settings.port, shared=False) as alone:
        port: int = alone.getsockname()[1]
    with bound(settings, port, shared=True):
        yield port


def bound(settings: Settings, port: int, *, shared: bool) -> socket.socket:
    """Return a socket bound to the address; `shared` lets other processes of this user bind it too."""
    if sys.platform == "win32":
        raise MoonPalaceError("--workers is not possible on Windows, where processes cannot share a port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            if not shared:
                sock.listen()  # fails if another process listens
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise MoonPalaceError(cannot_listen(settings, error)) from error
    return sock


@dataclass(slots=True)
class WorkerReport:
    """A worker's report at startup."""

    url: str | None = None
    error: str | None = None


class Workers:
    """The workers of one proxy."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings = settings
        self.count = count
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._ready: set[int] = set()
        self._stopping = asyncio.Event()
        self._lost = False

    async def run(self) -> None:
        """Start the workers, announce when all are ready, and supervise them until a signal comes."""
        loop = asyncio.get_running_loop()
        for name in SIGNALS:
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop)
        try:
            urls = await asyncio.gather(*(self._started(number) for number in range(self.count)))
        except MoonPalaceError:
            is_told_to = self._stopping.is_set()
            self._stop()
            await asyncio.gather(*(process.wait() for process in self._processes.values()))
            if is_told_to:
                return
            raise
        banner.announce(urls[0], self.settings, f" ({self.count} workers)")
        console = ConsoleProcess(self.settings) if self.settings.console else None
        await asyncio.gather(*(self._keep(number) for number in range(self.count)))
        if console is not None:
            console.close()
        if self._lost:
            raise MoonPalaceError("not all calls could be stored: the log says how many, and why")

    def _stop(self) -> None:
        """Stop all workers as the signal stops a proxy; a second signal cuts their calls short."""
        self._stopping.set()
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    async def _started(self, number: int) -> str:
        """Start a worker; return its address, or raise MoonPalaceError if it does not start."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "moonpalace_cli.proxy.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # the terminal's signals are for this process, which passes them on
        )
        self._processes[number] = process
        self._ready.discard(number)
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes
        process.stdin.write(pickle.dumps(self._settings_of(number)))
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        if self._stopping.is_set():
            process.terminate()
        line = await process.stdout.readline()
        reported = (
            WorkerReport(**json.loads(line))
            if line.strip()
            else WorkerReport(error=f"a worker ended with {ending(await process.wait())}")
        )
        if reported.url is None:
            raise MoonPalaceError(str(reported.error))
        self._ready.add(number)
        return reported.url

    def _settings_of(self, number: int) -> Settings:
        """Return the settings of a worker: the console belongs to this process, the rules to the first worker."""
        return replace(self.settings, console=False, rules=self.settings.rules if number == 0 else ())

    async def _keep(self, number: int) -> None:
        """Supervise a running worker, and its replacements."""
        pause = 0.0
        while True:
            began = time.monotonic()
            process = self._processes[number]
            code = await process.wait()
            if self._stopping.is_set():
                if number in self._ready and code < 0:
                    logger.error("worker %d (process %d) ended with %s", number + 1, process.pid, ending(code))
                self._lost = self._lost or (number in self._ready and code > 0)
                return
            pause = 0.0 if time.monotonic() - began > EARLY_EXIT_LIMIT else min(MAX_PAUSE, 2 * pause or 1.0)
            logger.error(
                "worker %d (process %d) ended with %s, another takes its place%s",
                *(number + 1, process.pid, ending(code)),
                f" in {pause:g} s" if pause else "",
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            if self._stopping.is_set():
                return
            try:
                await self._started(number)
                logger.info("worker %d is back (process %d)", number + 1, self._processes[number].pid)
            except MoonPalaceError as error:
                logger.error("worker %d did not start: %s", number + 1, error)  # noqa: TRY400 - one line


def ending(code: int) -> str:
    """Describe how a process ended."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

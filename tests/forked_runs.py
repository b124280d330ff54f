"""Run tests in several processes that are forked once all tests have been collected: `-n 3`, with `-n 0` in this one.

Collecting takes half a minute of CPU, which pytest-xdist spends in each of its workers. A worker here takes one module
after another from a queue, so that what a module shares is made once; it sends its reports through a pipe.
"""

from __future__ import annotations

import itertools
import os
import signal
import struct
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

import coverage
import pytest
from _pytest.capture import CaptureManager

NUMBER = struct.Struct("I")
SLOWEST = "tests/e2e/"
"""Modules that take longest, and begin first, so that none of them runs on when all others have ended."""

type Places = list[int]
"""The places of tests among all tests, as those of a module."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A test begins; `following` is the place of the next one of the same worker, if there is one."""

    place: int
    following: int | None


@dataclass(frozen=True, slots=True)
class Over:
    """A test is over."""

    reports: list[dict[str, Any]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("forked runs")
    group._addoption("-n", dest="workers", type=int, default=0, metavar="N", help="Run tests in N forked processes.")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in workers if that is wanted and there are several modules."""
    modules = modules_of(session.items)
    count = min(session.config.getoption("workers"), len(modules))
    if count < 2 or session.testsfailed or session.config.option.collectonly or session.config.option.usepdb:
        return None
    Run(session, modules).run(count)
    return True


def modules_of(items: Sequence[pytest.Item]) -> list[Places]:
    """Return the modules, those that take longest first."""
    found = itertools.groupby(range(len(items)), key=lambda place: items[place].path)
    modules = [list(places) for _, places in found]
    return sorted(modules, key=lambda module: not items[module[0]].nodeid.startswith(SLOWEST))


class Queue:
    """The numbers of modules that nobody has taken yet, in a pipe that all workers read."""

    def __init__(self, count: int) -> None:
        self._reading, writing = os.pipe()
        os.write(writing, b"".join(NUMBER.pack(number) for number in range(count)))
        os.close(writing)

    def __iter__(self) -> Iterator[int]:
        """Take one after another."""
        while taken := os.read(self._reading, NUMBER.size):
            yield NUMBER.unpack(taken)[0]


@dataclass
class Worker:
    """A process that runs tests, the tests that it has taken, the first of which runs if `is_running`."""

    pid: int
    taken: Places = field(default_factory=list)
    is_running: bool = False


class Run:
    """A run of all tests."""

    def __init__(self, session: pytest.Session, modules: list[Places]) -> None:
        self._session = session
        self._modules = modules
        self._module_of = {place: module for module in modules for place in module}
        self._queue = Queue(len(modules))
        self._workers: dict[Connection[Any, Any], Worker] = {}
        self._numbers = itertools.count()
        self._count = 0

    def run(self, count: int) -> None:
        """Run the tests in so many processes; raise what ends the session early."""
        folders_of(self._session.config).getbasetemp()  # which the workers share
        try:
            for _ in range(count):
                self._start([])
            while self._workers:
                for connection in wait(list(self._workers)):
                    self._hear(connection)  # type: ignore[arg-type]
        finally:
            for worker in self._workers.values():
                os.kill(worker.pid, signal.SIGTERM)
            for connection in list(self._workers):
                self._end(connection)
        if missing := len(self._session.items) - self._count:
            self._session.shouldfail = f"{missing} tests were not run"
            raise self._session.Failed(self._session.shouldfail)

    def _start(self, first: Places) -> None:
        """Fork a worker, which begins with these tests."""
        reading, writing = Pipe(duplex=False)
        number = next(self._numbers)
        if (pid := os.fork()) == 0:
            for connection in (reading, *self._workers):
                connection.close()
            work(self._session, number, self._places(first), writing)
        writing.close()
        self._workers[reading] = Worker(pid)

    def _places(self, first: Places) -> Iterator[int]:
        yield from first
        for number in self._queue:
            yield from self._modules[number]

    def _end(self, connection: Connection[Any, Any]) -> Worker:
        worker = self._workers.pop(connection)
        connection.close()
        os.waitpid(worker.pid, 0)
        return worker

    def _hear(self, connection: Connection[Any, Any]) -> None:
        """Take a message of a worker, or its end."""
        worker = self._workers[connection]
        try:
            message = connection.recv()
        except EOFError:
            self._end(connection)
            if worker.taken:
                self._replace(worker)
            return
        if isinstance(message, Begun):
            worker.taken = self._taken(message)
            worker.is_running = True
        else:
            worker.is_running = False
            self._tell(worker.taken.pop(0), message.reports)

    def _taken(self, begun: Begun) -> Places:
        module = self._module_of[begun.place]
        taken = module[module.index(begun.place) :]
        following = [] if begun.following is None else self._module_of[begun.following]
        return taken if following is module else taken + following

    def _replace(self, worker: Worker) -> None:
        """Have another worker go on where one has died."""
        if worker.is_running:
            place = worker.taken.pop(0)
            item = self._session.items[place]
            died = pytest.TestReport(
                item.nodeid, item.location, {}, "failed", "the process of this test has died", "call"
            )
            self._tell(place, [serialized(item.config, died)])
        self._start(worker.taken)

    def _tell(self, place: int, reports: list[dict[str, Any]]) -> None:
        """Tell pytest what a test gave."""
        self._count += 1
        item = self._session.items[place]
        hook, config = item.ihook, item.config
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for data in reports:
            hook.pytest_runtest_logreport(report=config.hook.pytest_report_from_serializable(config=config, data=data))
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)


def serialized(config: pytest.Config, report: pytest.TestReport) -> dict[str, Any]:
    """Return a report as it can be sent."""
    found: dict[str, Any] = config.hook.pytest_report_to_serializable(config=config, report=report)
    return found


class Reports:
    """A plugin that keeps the reports of a test."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._kept = list[dict[str, Any]]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report."""
        self._kept.append(serialized(self._config, report))

    def take(self) -> list[dict[str, Any]]:
        """Return what was kept since the last time."""
        found, self._kept = self._kept, []
        return found


def work(session: pytest.Session, number: int, places: Iterator[int], connection: Connection[Any, Any]) -> NoReturn:
    """Run tests in this process, which a run has forked, and end."""
    code = 1
    try:
        become_worker(session.config, number)
        run_tests(session, places, connection)
        if measured := coverage.Coverage.current():
            measured.stop()
            measured.save()
        code = 0
    except KeyboardInterrupt:
        pass
    except BaseException:  # noqa: BLE001 - the end of a process
        traceback.print_exc()
    finally:
        os._exit(code)


def become_worker(config: pytest.Config, number: int) -> None:
    """Share neither outputs nor folders with other workers, and end with the tests' fixtures when told to."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.get_terminal_writer()._file = Path(os.devnull).open("w")  # noqa: SIM115
    capture = config.pluginmanager.get_plugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    config.stash[pytest.StashKey[object]()] = capture._global_capturing  # open: modules may have kept its sys.stderr
    capture._global_capturing = None
    capture.start_global_capturing()
    capture.suspend_global_capture()
    folders = folders_of(config)
    folders._basetemp = folders.getbasetemp() / f"worker{number}"
    folders._basetemp.mkdir(0o700)


def folders_of(config: pytest.Config) -> pytest.TempPathFactory:
    """Return what makes the folders of tests."""
    found: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    return found


def run_tests(session: pytest.Session, places: Iterator[int], connection: Connection[Any, Any]) -> None:
    """Run tests, and send what each gives."""
    reports = Reports(session.config)
    session.config.pluginmanager.register(reports)
    try:
        # What follows is known before a test ends, since it decides which fixtures end with it.
        for place, following in itertools.pairwise(itertools.chain(places, [None])):
            assert place is not None
            connection.send(Begun(place, following))
            item = session.items[place]
            next_item = None if following is None else session.items[following]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
            connection.send(Over(reports.take()))
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        session._setupstate.teardown_exact(None)
        raise

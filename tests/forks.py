"""Programs forked from a process that has imported all they need, which takes longer than most of their tests.

After its imports a fork does all that `mpal`, `mitmdump` and `mitmweb` do: it is a process of its own, with an
environment and outputs of its own. At its end it waits for its threads, calls what is registered for the end and
flushes its outputs as Python does; taking all modules apart is left to the kernel. A program that imports something
else, or whose command line is looked at, is started afresh.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Literal, NoReturn

ROOT = Path(__file__).resolve().parents[1]

ID_LENGTH = 16
"""Characters in which the id of a process is sent."""

type Kind = Literal["mpal", "store", "writer", "mitmproxy"]
"""The imported modules: those of `mpal`, the store alone, its writer, or mitmproxy with its addons and ours."""


@dataclass(frozen=True)
class Command:
    """A program and its arguments, as on a command line, and the environment.

    `python` runs its first argument, `writer` is the process that writes for a proxy.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def fresh(self) -> list[str]:
        """Return the command line for a new process."""
        if self.program == "mpal":
            return [sys.executable, "-m", "moonpalace_cli.main", *self.arguments]
        return [sys.executable, str(Path(sys.executable).with_name(self.program)), *self.arguments]


class Fork:
    """A forked process, with what the tests use of `subprocess.Popen`."""

    def __init__(self, pid: int, status: socket.socket, stdout: IO[bytes] | None) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = None
        self.stdout = stdout
        self._status = status
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code."""
        if self._code is None:
            self._status.settimeout(timeout)
            try:
                self._code = int(self._status.recv(16))
            except TimeoutError as error:
                raise subprocess.TimeoutExpired("mpal", timeout or 0.0) from error
            self._status.close()
        return self._code

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        try:
            return self.wait(1e-6)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)

    def output(self) -> str:
        """Return all of the output, after its end."""
        assert self.stdout is not None
        with self.stdout:
            text = self.stdout.read().decode()
        self.wait()
        return text


class Forks:
    """The process from which others are forked; it is started for the first of them."""

    def __init__(self, kind: Kind, environment: Mapping[str, str]) -> None:
        self._kind = kind
        self._environment = environment
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def _connected(self) -> socket.socket:
        if self._channel is None:
            self._channel, other = socket.socketpair()
            with other:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.forks", self._kind, str(other.fileno())],
                    cwd=ROOT,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,  # as those of a fork are
                    stderr=subprocess.STDOUT,
                    pass_fds=[other.fileno()],
                )
        return self._channel

    def popen(self, command: Command) -> Fork:
        """Start a process whose outputs go to one pipe."""
        reading, writing = os.pipe()
        try:
            return self._fork(command, [writing, writing], os.fdopen(reading, "rb"))
        finally:
            os.close(writing)

    def serve(self, command: Command) -> Fork:
        """Start a process that reads from one pipe and writes to another."""
        reading, stdin = os.pipe()
        stdout, writing = os.pipe()
        try:
            fork = self._fork(command, [reading, writing, 2], os.fdopen(stdout, "rb"))
        finally:
            os.close(reading)
            os.close(writing)
        fork.stdin = os.fdopen(stdin, "wb")
        return fork

    def run(self, command: Command, timeout: float) -> subprocess.CompletedProcess[bytes]:
        """Run a process until it exits."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            fork = self._fork(command, [output.fileno(), errors.fileno()])
            try:
                code = fork.wait(timeout)
            finally:
                fork.kill()
            for file in (output, errors):
                file.seek(0)
            return subprocess.CompletedProcess(command.fresh, code, output.read(), errors.read())

    def _fork(self, command: Command, streams: Sequence[int], stdout: IO[bytes] | None = None) -> Fork:
        """Start a process with these standard streams, the last of which are its outputs."""
        channel = self._connected()
        ours, theirs = socket.socketpair()
        with theirs:
            asked = json.dumps([command.program, command.arguments, dict(command.environment)]).encode() + b"\n"
            socket.send_fds(channel, [asked], [theirs.fileno(), *streams])
        return Fork(int(ours.recv(ID_LENGTH)), ours, stdout)

    def close(self) -> None:
        """Stop the process; its forks have ended before."""
        if self._channel is not None and self._process is not None:
            self._channel.close()
            output = self._process.communicate()[0]
            assert not output, output


def become(channel: socket.socket) -> Command | None:
    """Fork on request; return the command in a fork, None at the end."""
    while True:
        asked, descriptors, _, _ = socket.recv_fds(channel, 1 << 16, 4)
        while asked and not asked.endswith(b"\n"):
            asked += channel.recv(1 << 16)
        if not asked:
            return None
        status, *streams = descriptors
        if os.fork() == 0:
            channel.close()
            if (pid := os.fork()) == 0:
                os.close(status)
                return prepared(Command(*json.loads(asked)), streams)
            tell_end(pid, status, streams)
        for descriptor in descriptors:
            os.close(descriptor)
        while reap():
            pass


def tell_end(pid: int, status: int, streams: list[int]) -> NoReturn:
    """Send the id of a process, and after its end its exit code.

    The id has the length that is read: the code may follow before anybody has read.
    """
    for stream in streams:
        os.close(stream)
    os.write(status, b"%*d" % (ID_LENGTH, pid))
    os.write(status, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def reap() -> bool:
    """Reap one child, and return whether there was one."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def prepared(command: Command, streams: list[int]) -> Command:
    """Put the process into the state of a new one; return the command."""
    os.environ.clear()
    os.environ.update(command.environment)
    time.tzset()
    for number, stream in enumerate(streams, start=3 - len(streams)):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = [command.program, *command.arguments]
    return command


def preload(kind: str) -> None:
    """Import the slow modules."""
    if kind == "store":
        import zstandard  # noqa: F401

        from moonpalace_addons.store.database import opening  # noqa: F401
        from moonpalace_addons.store.incoming import legacy_calls  # noqa: F401

        return
    if kind == "writer":
        from moonpalace_addons.writer_process import server  # noqa: F401

        return
    if kind == "mpal":
        from moonpalace_cli.deferred_imports import defer_package
        from moonpalace_cli.main import COMMANDS

        defer_package("mitmproxy.addons")  # as `mpal start` does
        from moonpalace_cli.proxy import console_log, serving  # noqa: F401

        for module, _ in COMMANDS.values():
            import_module(f"moonpalace_cli.commands.{module}")
    else:
        from mitmproxy.tools import dump  # noqa: F401
        from mitmproxy.tools.web import master  # noqa: F401
    from moonpalace_addons import bundle  # noqa: F401
    from moonpalace_addons.engine import mode  # noqa: F401
    from tests.forked_writer import fork_writers

    fork_writers()
    trust_own_keys()


def trust_own_keys() -> None:
    """Have mitmproxy load the key of its certificates without the check that it is prime: 70 ms of CPU."""
    from cryptography.hazmat.primitives import serialization
    from mitmproxy import certs

    load = partial(serialization.load_pem_private_key, unsafe_skip_rsa_key_validation=True)
    used = {name: getattr(serialization, name) for name in ("Encoding", "NoEncryption", "PrivateFormat")}
    vars(certs)["serialization"] = SimpleNamespace(**used, load_pem_private_key=load)


def run(command: Command) -> int | None:
    """Run the program after its imports."""
    if command.program == "mpal":
        from moonpalace_cli.main import main as mpal

        return mpal(command.arguments)
    if command.program == "writer":
        from moonpalace_addons.writer_process import server

        os.setsid()
        server.main()
        return None
    if command.program == "python":
        sys.argv = ["-c", *command.arguments[1:]]
        exec(command.arguments[0], {"__name__": "__main__"})
        return None
    from mitmproxy.tools import main

    program: Callable[[tuple[str, ...]], int | None] = getattr(main, command.program)
    return program(command.arguments)


def end(code: object) -> NoReturn:
    """Exit with the argument of `sys.exit`."""
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201 - as Python does
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    preload(sys.argv[1])
    gc.freeze()  # collections of a fork must not copy what they share
    if (command := become(socket.socket(fileno=int(sys.argv[2])))) is not None:
        try:
            code: object = run(command)
        except SystemExit as ended:
            code = ended.code
        end(code)

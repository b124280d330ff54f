"""Proxies forked from a process that has imported all they need, which takes longer than most of their tests.

After its imports a fork does all that `mpal start` does: it is a process of its own, with an environment and outputs of
its own, and ends as Python does. A proxy that imports something else, or whose command line is looked at, is started
afresh.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]


class Fork:
    """A forked process, with what the tests use of `subprocess.Popen`."""

    def __init__(self, pid: int, status: socket.socket, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self._status = status
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, once there is one."""
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
        """Send a signal, unless it is over."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process that others are forked from; it is started for the first of them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def _connected(self) -> socket.socket:
        if self._channel is None:
            self._channel, other = socket.socketpair()
            with other:
                command = [sys.executable, "-m", "tests.e2e.forks", str(other.fileno())]
                self._process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,  # as those of a fork are
                    stderr=subprocess.STDOUT,
                    pass_fds=[other.fileno()],
                )
        return self._channel

    def mpal(self, arguments: list[str], environment: Mapping[str, str]) -> Fork:
        """Run a command of `mpal`."""
        channel = self._connected()
        reading, writing = os.pipe()
        ours, theirs = socket.socketpair()
        with theirs:
            asked = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode() + b"\n"
            socket.send_fds(channel, [asked], [theirs.fileno(), writing])
        os.close(writing)
        return Fork(int(ours.recv(16)), ours, os.fdopen(reading, "rb"))

    def close(self) -> None:
        """End it; the others have ended before."""
        if self._channel is not None and self._process is not None:
            self._channel.close()
            said = self._process.communicate()[0]
            assert not said, said


def become(channel: socket.socket) -> list[str] | None:
    """Fork whenever that is asked for; return the arguments of `mpal` in a fork, None at the end."""
    while True:
        asked, descriptors, _, _ = socket.recv_fds(channel, 1 << 16, 2)
        while asked and not asked.endswith(b"\n"):
            asked += channel.recv(1 << 16)
        if not asked:
            return None
        status = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            channel.close()
            if (pid := os.fork()) == 0:
                status.close()
                return prepared(json.loads(asked), descriptors[1])
            os.close(descriptors[1])
            status.sendall(str(pid).encode())
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            status.sendall(str(code).encode())
            os._exit(0)
        status.close()
        os.close(descriptors[1])
        while reap():
            pass


def reap() -> bool:
    """Take the end of one child, and tell whether there was one."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def prepared(asked: dict[str, object], output: int) -> list[str]:
    """Be as a new process would; return the arguments of `mpal`."""
    environment, arguments = asked["environment"], asked["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    sys.argv = ["mpal", *arguments]
    return arguments


if __name__ == "__main__":
    from moonpalace_cli.deferred_imports import defer_package
    from moonpalace_cli.main import main

    defer_package("mitmproxy.addons")  # as `mpal start` does
    from moonpalace_cli.proxy import console_log, serving  # noqa: F401 - what takes long

    if (arguments := become(socket.socket(fileno=int(sys.argv[1])))) is not None:
        sys.exit(main(arguments))

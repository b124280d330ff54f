"""The stop of a proxy: calls that ended are stored whole, others as interrupted, with what was received."""

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from tests.e2e.launching import ROOT, Launcher, Proxy, free_port
from tests.forks import Command
from tests.scenarios.server import MockServer
from tests.waiting import until

KEY = "sk-e2e-client-0123456789"
MESSAGES = [{"role": "user", "content": "Hello 月亮 world"}]
NEVER = {"X-Mock-Delay": "3600"}


async def ask_all(url: str, count: int) -> list[int]:
    """Make calls, fifty at a time, half of them streams; return the statuses of those that have ended."""
    gate = asyncio.Semaphore(50)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False, verify=False) as client:

        async def ask(number: int) -> int:
            body = {"model": "mock-echo", "stream": number % 2 == 0, "messages": MESSAGES, "seed": number}
            async with gate:
                answer = await client.post("/v1/chat/completions", json=body)
            return answer.status_code

        return await asyncio.gather(*(ask(number) for number in range(count)))


@pytest.mark.parametrize(("number", "count"), [(signal.SIGTERM, 250), (signal.SIGINT, 50)])
def test_calls_that_have_ended_are_stored(launch: Launcher, mock: MockServer, number: int, count: int) -> None:
    """A proxy that is stopped directly after the last answer has stored every call when it exits."""
    with launch.start(endpoint=mock.url) as proxy:
        statuses = asyncio.run(ask_all(proxy.url, count))
        proxy.stop(number)
        rows = exchanges.latest(proxy.engine, limit=10 * count)
        assert statuses == [200] * count
        assert Counter(row.state for row in rows) == {State.COMPLETED: count}
        seeds = {json.loads(proxy.bodies(row).request or b"")["seed"] for row in rows}
        assert seeds == set(range(count))
        assert all(row.total_tokens for row in rows)


def test_a_call_under_way_ends_with_the_proxy(launch: Launcher, mock: MockServer) -> None:
    """The answer of a stream in progress at SIGTERM is incomplete: its row says so, and has what was received."""
    body = {"model": "mock-slow", "stream": True, "messages": MESSAGES}
    with launch.start(endpoint=mock.url) as proxy, proxy.client() as client:
        with client.stream("POST", "/v1/chat/completions", json=body, headers=NEVER) as answer:
            pieces = answer.iter_raw()
            got = next(pieces)
            proxy.stop()
            with pytest.raises(httpx.RemoteProtocolError):
                next(pieces)
        (row,) = exchanges.latest(proxy.engine, limit=10)
        assert (row.state, row.error_kind) == (State.PROXY_DIED, "proxy_stopped")
        assert proxy.bodies(row).event_stream == got


def bundled(launch: Launcher, mock: MockServer) -> AbstractContextManager[Proxy]:
    return launch.start(endpoint=mock.url)


def in_mitmdump(launch: Launcher, mock: MockServer) -> AbstractContextManager[Proxy]:
    return launch.mitmproxy("mitmdump", "-p", "0", extra={"MOONPALACE_ENDPOINT": mock.url})


def in_mitmweb(launch: Launcher, mock: MockServer) -> AbstractContextManager[Proxy]:
    quiet = ("--set", "web_port=0", "--set", "web_open_browser=false")
    return launch.mitmproxy("mitmweb", "-p", "0", *quiet, extra={"MOONPALACE_ENDPOINT": mock.url})


@pytest.mark.parametrize("start", [bundled, in_mitmdump, in_mitmweb])
def test_calls_have_time_to_end(
    launch: Launcher, mock: MockServer, start: Callable[[Launcher, MockServer], AbstractContextManager[Proxy]]
) -> None:
    """From the signal on new connections are refused; answers and streams that take another second are completed."""
    with start(launch, mock) as proxy:
        stream = Reader(proxy, {"model": "mock-repeat"}, {"X-Mock-Delay": "0.02", "X-Mock-Events": "60"})
        with ThreadPoolExecutor() as pool, proxy.client() as client:
            body = {"model": "mock-slow-headers", "messages": MESSAGES}
            plain = pool.submit(client.post, "/v1/chat/completions", json=body, headers={"X-Mock-Delay": "0.2"})
            until(lambda: stream.got and len(proxy.rows_so_far()) == 2)
            proxy.process.send_signal(signal.SIGTERM)
            until(lambda: is_refused(proxy))
            assert proxy.process.poll() is None
            assert plain.result().status_code == 200
            stream.join(60)
        assert proxy.process.wait(60) == 0
        assert stream.got.endswith(b"data: [DONE]\n\n")
        rows = {row.is_stream: row for row in proxy.rows(2)}
        assert {row.state for row in rows.values()} == {State.COMPLETED}
        assert proxy.bodies(rows[True]).event_stream == stream.got
        assert proxy.bodies(rows[False]).response == plain.result().content


def is_refused(proxy: Proxy) -> bool:
    """Return whether a proxy refuses connections. While it closes its socket, it may reset those that wait there."""
    try:
        socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=5).close()
    except ConnectionError as error:
        return isinstance(error, ConnectionRefusedError)
    return False


@pytest.mark.parametrize("tool", ["mpal", "mitmdump"])
def test_a_terminal_that_is_closed_is_a_stop(launch: Launcher, mock: MockServer, tool: str) -> None:
    """If a proxy's terminal is closed, it lets calls end, stores them, and exits normally."""
    folder, port = launch.folder(), free_port()
    if tool == "mpal":
        arguments = ("start", "--port", str(port), "--endpoint", mock.url)
        command = Command("mpal", arguments, launch.environment(folder))
    else:
        command = launch.mitmproxy_command("mitmdump", "-p", str(port), extra={"MOONPALACE_ENDPOINT": mock.url})
    ours, theirs = pty.openpty()
    # A session of its own, whose terminal it is: only its leader is told when that goes.
    script = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    script += "os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command.fresh],
        cwd=ROOT,
        env=command.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while b"MoonPalace Starts" not in said:
        said += os.read(ours, 65536)
    body = {"model": "mock-repeat", "stream": True, "messages": MESSAGES}
    headers = {"Authorization": f"Bearer {KEY}", "X-Mock-Delay": "0.02", "X-Mock-Events": "30"}
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
        client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer,
    ):
        pieces = answer.iter_raw()
        got = next(pieces)
        os.close(ours)
        got += b"".join(pieces)
    assert process.wait(60) == 0
    assert got.endswith(b"data: [DONE]\n\n")
    engine = open_store(f"sqlite:///{Path(command.environment['MOONPALACE_HOME']) / 'moonpalace.sqlite'}")
    (row,) = exchanges.latest(engine, limit=10)
    engine.dispose()
    assert row.state is State.COMPLETED


class Reader(threading.Thread):
    """Read a stream until it breaks off; `got` has the bytes so far."""

    def __init__(self, proxy: Proxy, body: dict[str, object], headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.got = b""
        self._ask = (proxy, body, headers)
        self.start()

    def run(self) -> None:
        """Read."""
        proxy, body, headers = self._ask
        body = {**body, "stream": True, "messages": MESSAGES}
        try:
            with (
                proxy.client() as client,
                client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer,
            ):
                for piece in answer.iter_bytes():
                    self.got += piece
        except httpx.TransportError:
            return


def test_a_killed_proxy_leaves_what_had_come(launch: Launcher, mock: MockServer) -> None:
    """After SIGKILL during a stream the next start sets `proxy_died`, with the events up to a second before."""
    folder = launch.folder()
    with launch.start(endpoint=mock.url, folder=folder) as proxy, proxy.client() as client:
        whole = client.post("/v1/chat/completions", json={"model": "mock-echo", "messages": MESSAGES})
        readers = {
            name: Reader(proxy, {"model": model, "user": name}, {**headers, "X-Request-Id": name})
            for name, model, headers in (
                ("stalled", "mock-stall", {}),
                ("going", "mock-repeat", {"X-Mock-Delay": "0.02", "X-Mock-Events": "100000"}),
                ("waiting", "mock-slow", NEVER),
            )
        }
        silent = Reader(proxy, {"model": "mock-slow-headers", "user": "silent"}, {"X-Request-Id": "silent"})
        seen = kept_in_store(proxy, readers)
        proxy.kill()
        for reader in (*readers.values(), silent):
            reader.join(60)
    with launch.start(endpoint=mock.url, folder=folder) as proxy:
        rows = {row.client_request_id or "whole": row for row in proxy.rows(5)}
        assert rows["whole"].state is State.COMPLETED
        assert rows["whole"].chatcmpl_id == whole.json()["id"]
        for name, least in seen.items():
            row, bodies = rows[name], proxy.bodies(rows[name])
            assert (row.state, row.error_kind, row.status_code) == (State.PROXY_DIED, "proxy_died", 200)
            assert json.loads(bodies.request or b"")["user"] == name
            kept = bodies.event_stream or b""
            assert kept.startswith(least)
            assert readers[name].got.startswith(kept) or kept.startswith(readers[name].got)
            assert_readable(proxy, row, kept)
        # A proxy that still lives is left alone by others that look at its store.
        assert proxy.mpal("list").returncode == 0


def kept_in_store(proxy: Proxy, readers: dict[str, Reader]) -> dict[str, bytes]:
    """Wait until the clients have read some events and the store has them too; return those read."""
    wanted = {"stalled": 2, "going": 20, "waiting": 1}
    until(lambda: all(readers[name].got.count(b"\n\n") >= count for name, count in wanted.items()))
    seen = {name: reader.got for name, reader in readers.items()}

    def is_kept() -> bool:
        rows = {row.client_request_id: row for row in exchanges.latest(proxy.engine, limit=100)}
        return all(len(proxy.bodies(rows[name]).event_stream or b"") >= len(got) for name, got in seen.items())

    until(is_kept)
    return seen


def assert_readable(proxy: Proxy, row: exchanges.Exchange, kept: bytes) -> None:
    """Check that `mpal inspect` shows the events, and the merged part of the completion."""
    command = ("inspect", "--id", str(row.id), "--print-response")
    shown = proxy.mpal_all([command, (*command, "--merge-event-stream")])
    events, merged = (part.partition(b"\n\n")[2] for part in shown.split(b"mpal inspect")[1:])
    assert kept.strip() in events
    body = json.loads(merged)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["finish_reason"] is None

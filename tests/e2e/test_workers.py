"""`mpal start --workers`: several processes on one port, which are stopped, killed and replaced."""

import signal
import ssl
import time
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text

from moonpalace_addons.store.tasks import State
from moonpalace_cli.mock.certificate import Certificate
from tests.e2e.launching import Launcher, Proxy
from tests.faults import Load
from tests.scenarios.server import MockServer
from tests.waiting import until

WORKERS = ("--engine", "moonpalace", "--workers", "2")
AUTHORIZED = {"Authorization": "Bearer sk-e2e-0123456789"}
ASKED = {"model": "kimi-k2", "messages": [{"role": "user", "content": "hello"}]}


def workers(proxy: Proxy) -> list[psutil.Process]:
    """Return the living workers."""
    children = psutil.Process(proxy.process.pid).children()
    return [child for child in children if "moonpalace_cli.proxy.worker" in child.cmdline()]


def call_status(proxy: Proxy, name: str) -> int:
    """Make a call on a new connection; return its status."""
    with proxy.client() as client:
        return client.post("/v1/chat/completions", json=ASKED, headers={"X-Request-Id": name}).status_code


def are_gone(processes: list[psutil.Process]) -> bool:
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)


def test_two_serve_and_stop(launch: Launcher, mock: MockServer) -> None:
    """Both take calls, each row is stored once, and no other proxy gets their port; there is one console.

    One signal stops everything, with exit code 0 and nothing left behind.
    """
    with launch.start(*WORKERS, "--console", "--console-port", "0", endpoint=mock.url) as proxy:
        proxy.log.wait_for("MoonPalace console => ")
        names = [f"call-{number}" for number in range(24)]
        assert [call_status(proxy, name) for name in names] == [200] * 24
        assert sorted(row.client_request_id or "" for row in proxy.rows(24)) == sorted(names)
        with proxy.engine.connect() as connection:
            assert connection.execute(text("SELECT count(DISTINCT run_id) FROM exchanges")).scalar() == 2
        assert proxy.log.text.count("MoonPalace Starts") == 1
        assert b"proxies" in proxy.mpal("doctor").stdout
        check_that_the_port_is_in_use(launch, proxy.url.rpartition(":")[2])
        everybody = psutil.Process(proxy.process.pid).children(recursive=True)
        assert len(everybody) == 5
        assert proxy.log.text.count("MoonPalace console => ") == 1
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(60) == 0
        assert are_gone(everybody)
        assert "ended with" not in proxy.log.text


def test_a_worker_is_killed_under_load(launch: Launcher, mock: MockServer) -> None:
    """The other continues, a new one takes its place, the log says so; calls answered before have their rows."""
    with launch.start(*WORKERS, endpoint=mock.url) as proxy:
        load = Load(proxy.url, clients=16, pause=0.05)  # so that both workers have some
        until(lambda: len(load.answers) > 20)
        first, second = workers(proxy)
        killed = time.monotonic()
        first.kill()
        said = proxy.log.wait_for(r"worker (\d) \(process (\d+)\) ended with signal SIGKILL, another takes its place")
        assert int(said[2]) == first.pid
        proxy.log.wait_for(rf"worker {said[1]} is back")
        assert second.is_running()
        assert len(workers(proxy)) == 2
        count = len(load.answers)
        until(lambda: len(load.answers) > count + 20)
        load.stop()
        proxy.stop()
        stored = {row.client_request_id for row in proxy.rows_so_far() if row.state is State.COMPLETED}
        lost = [answer.at - killed for name, answer in load.answers.items() if name not in stored]
        # Those answered in the moment in which it was killed, before it had handed them to the writer's process.
        assert len(lost) <= load.clients
        assert all(abs(age) < 1 for age in lost)


def test_the_parent_is_killed(launch: Launcher, mock: MockServer) -> None:
    """Workers, which serve https and IPv6 too, exit by themselves, and their answered calls are stored."""
    certificate = Certificate()
    served = Path(certificate.ca_file).with_name("served.pem")
    with launch.start(*WORKERS, "--host", "::1", "--tls-cert", str(served), endpoint=mock.url) as proxy:
        assert proxy.url.startswith("https://[::1]:")
        context, url = ssl.create_default_context(cafile=certificate.ca_file), f"{proxy.url}/v1/chat/completions"
        for _ in range(8):  # on a connection of its own each
            answer = httpx.post(url, json=ASKED, headers=AUTHORIZED, verify=context, timeout=60, trust_env=False)
            assert answer.json()["object"] == "chat.completion"
        everybody = psutil.Process(proxy.process.pid).children(recursive=True)
        proxy.kill()
        until(lambda: are_gone(everybody))
        assert [row.state for row in proxy.rows(8)] == [State.COMPLETED] * 8
    certificate.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--workers", "2", "--engine", "mitmproxy"), "--workers works with the engine moonpalace only"),
        (("--workers", "2", "--engine", "moonpalace", "--web"), "--workers and --web exclude each other"),
        (("--workers", "0"), "--workers"),
        ((*WORKERS, "--host", "0.0.0.0", "--key", "sk-0123456789abcdef"), "set a token"),
        ((*WORKERS, "--database", "/dev/null"), "/dev/null"),
    ],
)
def test_what_is_refused(launch: Launcher, options: tuple[str, ...], expected: str) -> None:
    """The error is one line, and nothing is left behind."""
    done = launch.run("start", "--port", "0", *options)
    assert done.returncode in (1, 2)
    (line,) = [line for line in done.stderr.decode().splitlines() if "rror" in line]
    assert expected in line


def check_that_the_port_is_in_use(launch: Launcher, port: str) -> None:
    """Workers share their port with each other only, and with no other proxy that has workers."""
    for options in (WORKERS, ("--engine", "moonpalace")):
        done = launch.run("start", "--port", port, *options)
        assert done.returncode == 1
        expected = f"Error: port {port} of 127.0.0.1 is in use: give another with --port, or 0 for any free one"
        assert done.stderr.decode().strip().endswith(expected)

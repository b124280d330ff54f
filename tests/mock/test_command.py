"""The command in a separate process."""

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.main import cli
from moonpalace_cli.mock.scenarios import Times, scenarios
from tests.scenarios.server import MockServer

ROOT = Path(__file__).parents[2]
CHAT = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello"}]}
KEY = {"Authorization": "Bearer sk-secret-1"}


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Provide the command as a process, and its first line."""
    code = "from moonpalace_cli.commands.mock import command; command()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "addons")])}
    with subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", *arguments], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        try:
            yield process, process.stderr.readline()
        finally:
            process.kill()


def base_url(line: str) -> str:
    """Return the address in the command's first line."""
    assert line.startswith("Mock of the Kimi API => http")
    return line.split()[6]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_session(number: signal.Signals) -> None:
    """It prints its address, then a line for each call without the key, and exits with 0 after a signal."""
    with running() as (process, line):
        url = base_url(line)
        httpx.post(f"{url}/chat/completions", json=CHAT, headers=KEY, trust_env=False)
        httpx.post(f"{url}/chat/completions", json=CHAT | {"stream": True}, headers=KEY, trust_env=False)
        httpx.get(f"{url}/models", trust_env=False)
        process.send_signal(number)
        assert process.stderr is not None
        assert process.stderr.read().splitlines() == [
            "POST /v1/chat/completions mock-echo 200",
            "POST /v1/chat/completions mock-echo 200 4/4 events",
            "GET /v1/models 401",
        ]
        assert process.wait(10) == 0


def test_quiet_with_tls() -> None:
    """It prints the path of the certificate to trust, and nothing for calls; the certificate is removed at the end."""
    with running("--quiet", "--tls") as (process, line):
        url = base_url(line)
        assert process.stderr is not None
        path = process.stderr.readline().removeprefix("Certificate to trust: ").strip()
        assert url.startswith("https://")
        trusting = ssl.create_default_context(cafile=path)
        assert httpx.get(f"{url}/models", headers=KEY, verify=trusting, trust_env=False).status_code == 200
        process.terminate()
        assert process.stderr.read() == ""
        assert process.wait(10) == 0
    assert not Path(path).exists()


def test_nobody_reads_the_lines() -> None:
    """Calls are answered after the terminal has gone."""
    with running() as (process, line):
        assert process.stderr is not None
        process.stderr.close()
        for _ in range(2):
            answer = httpx.get(f"{base_url(line)}/models", headers=KEY, trust_env=False)
            assert answer.status_code == 200


def test_a_port_in_use(shared_mock: MockServer) -> None:
    """A port in use raises our own error, which the command line prints as one line."""
    # Through the group: click keeps what the help options were at a command's first run.
    result = CliRunner().invoke(cli, ["mock", "--port", str(shared_mock.port)])
    assert isinstance(result.exception, MoonPalaceError)
    assert "\n" not in str(result.exception)


def test_help_is_quick_and_tells_the_headers() -> None:
    """The help names the headers that change the pace and every scenario, and does not import Tornado."""
    code = (
        "import sys; from click.testing import CliRunner; from moonpalace_cli.commands.mock import command;"
        "print(CliRunner().invoke(command, ['--help']).output); print('tornado' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "addons")])}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "X-Mock-Delay" in ended.stdout
    assert "X-Mock-Events" in ended.stdout
    assert all(f"\n  {name} " in ended.stdout for name in scenarios(Times()))
    assert ended.stdout.splitlines()[-1] == "False"

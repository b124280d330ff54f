"""`mpal start`, up to the proxy itself, which the end-to-end tests run."""

import logging

import pytest
import setproctitle

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.values import Settings
from moonpalace_cli.proxy import console_log, serving
from tests.cli.conftest import Mpal

KEY = "sk-the-owners-key"


class Log(logging.NullHandler):
    """A log that notes its end."""

    finished = 0

    def finish(self) -> None:
        """Note it."""
        self.finished += 1


class Proxy:
    """What was started, instead of a proxy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = Log()
        self.started: list[tuple[Settings, int | None]] = []
        self.error: Exception | None = None
        monkeypatch.setattr(console_log, "install", lambda _: self.log)
        monkeypatch.setattr(serving, "serve", self.serve)
        monkeypatch.setattr(serving, "serve_web", self.serve)
        monkeypatch.setattr(setproctitle, "getproctitle", lambda: "mpal start")

    def serve(self, settings: Settings, log: logging.Handler, web_port: int | None = None) -> None:
        """Note what was started."""
        assert log is self.log
        self.started.append((settings, web_port))
        if self.error is not None:
            raise self.error


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """Give what `mpal start` starts."""
    return Proxy(monkeypatch)


def test_defaults(mpal: Mpal, started: Proxy) -> None:
    """Without flags it listens on the documented port on this machine only, without a key, without mitmweb."""
    assert mpal("start").code == 0
    ((settings, web_port),) = started.started
    assert (settings.port, settings.host, settings.endpoint) == (9988, "127.0.0.1", "https://api.moonshot.cn")
    assert (settings.key, settings.token, web_port) == (None, None, None)
    assert started.log.finished == 1


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (("-p", "40000"), "port", 40000),
        (("--port", "0"), "port", 0),
        (("--host", "::1"), "host", "::1"),
        (("-k", KEY), "key", KEY),
        (("--key", KEY), "key", KEY),
        (("--endpoint", "api.moonshot.ai"), "endpoint", "https://api.moonshot.ai"),
        (("--upstream-proxy", "proxy:3128"), "upstream_proxy", "http://proxy:3128"),
        (("--upstream-proxy", "none"), "upstream_proxy", None),
        (("--idle-timeout", "1.5"), "idle_timeout", 1.5),
        (("--insecure",), "insecure", True),
        (("--no-insecure",), "insecure", False),
        (
            ("--allow-origins", "https://a.example,http://b.example:1"),
            "allow_origins",
            ("https://a.example", "http://b.example:1"),
        ),
    ],
)
def test_flag(mpal: Mpal, started: Proxy, arguments: tuple[str, ...], field: str, value: object) -> None:
    """Each flag is passed to the proxy as a checked value."""
    assert mpal("start", *arguments).code == 0
    assert getattr(started.started[0][0], field) == value


@pytest.mark.parametrize(("arguments", "port"), [(("--web",), 8081), (("--web", "--web-port", "1"), 1)])
def test_web(mpal: Mpal, started: Proxy, arguments: tuple[str, ...], port: int) -> None:
    """--web starts mitmweb, on its usual port or another."""
    assert mpal("start", *arguments).code == 0
    assert started.started[0][1] == port


BAD = [
    (("--port", "70000"), "Error: flag --port: '70000' must be a whole number from 0 to 65535"),
    (("--host", "0.0.0.0", "--key", KEY), "Error: host '0.0.0.0' lets other machines use the key"),
    (("--token", "team-token"), "Error: a token"),
    (("--key", "sk with spaces"), "Error: flag --key: the value must be ASCII characters"),
    (("--web-port", "70000"), "Error: Invalid value for '--web-port'"),
    (("--config", "/no/such/file"), "Error: flag --config: '/no/such/file' does not exist"),
    (("--nonsense",), "Error: no option --nonsense"),
    (("argument",), "Error: mpal start takes no argument 'argument'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_usage(mpal: Mpal, started: Proxy, arguments: tuple[str, ...], message: str) -> None:
    """Wrong flags give one line without secrets and exit code 2, and nothing starts."""
    outcome = mpal("start", *arguments)
    assert outcome.code == 2
    assert outcome.err.replace("option: ", "option '").startswith(message.replace("option: ", "option '"))
    assert len(outcome.err.splitlines()) == 1
    assert KEY not in outcome.err
    assert "sk with spaces" not in outcome.err
    assert started.started == []


def test_failure_to_start(mpal: Mpal, started: Proxy) -> None:
    """A proxy that cannot start gives one line and exit code 1; the waiting log is printed first."""
    started.error = MoonPalaceError("port 9988 of 127.0.0.1 is in use")
    outcome = mpal("start")
    assert (outcome.code, outcome.err) == (1, "Error: port 9988 of 127.0.0.1 is in use\n")
    assert started.log.finished == 1

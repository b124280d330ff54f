"""Where the proxy listens: announced, or refused."""

import asyncio
import logging

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons, tflow

from moonpalace_addons import listening
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.listening import Listening, base_url
from moonpalace_addons.reverse_proxy import ReverseProxy
from moonpalace_addons.settings.values import resolve

KEY = "sk-the-owners-own-key"
TOKEN = "team-token-0123456789"


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("127.0.0.1", 9988, "http://127.0.0.1:9988/v1"),
        ("0.0.0.0", 80, "http://127.0.0.1:80/v1"),
        ("::", 9988, "http://127.0.0.1:9988/v1"),
        ("::1", 9988, "http://[::1]:9988/v1"),
        ("proxy.lan", 9988, "http://proxy.lan:9988/v1"),
    ],
)
def test_base_url(host: str, port: int, expected: str) -> None:
    """The announced address is a valid base_url."""
    assert base_url(host, port) == expected


def run(configuration: Configuration, **options: object) -> list[tuple[str, int]]:
    """Start the sockets of a mitmproxy with these options, check them, and return where they listened."""

    async def start() -> list[tuple[str, int]]:
        server, reverse, addon = Proxyserver(), ReverseProxy(configuration), Listening(configuration)
        with taddons.context(server, reverse, addon) as context:
            context.options.update(server=True, **options)
            server.running()
            await reverse.running()
            await addon.running()
            found = [address[:2] for instance in server.servers for address in instance.listen_addrs]
            await server.servers.update([])
            return found

    return asyncio.run(start())


def configured(**given: str) -> Configuration:
    """Return a configuration of settings, all given by their names."""
    return Configuration(resolve({"port": "0", **given}, {"MOONPALACE_HOME": "/nowhere"}))


def log_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return our log messages."""
    return [record.getMessage() for record in caplog.records if record.name == "moonpalace"]


def test_announces_where_it_listens(caplog: pytest.LogCaptureFixture) -> None:
    """Once the socket is open, the log has the documented line with its port."""
    caplog.set_level(logging.INFO, "moonpalace")
    ((host, port),) = run(configured(key=KEY))
    assert host == "127.0.0.1"
    assert log_messages(caplog) == [f'MoonPalace Starts => change base_url to "http://127.0.0.1:{port}/v1"']


def test_without_settings_nothing_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    """With invalid settings mitmproxy is about to exit."""
    caplog.set_level(logging.INFO, "moonpalace")
    run(Configuration(), listen_port=0)
    assert log_messages(caplog) == []


REACHABLE = [
    {"listen_host": "0.0.0.0", "listen_port": 0},
    {"listen_host": "", "listen_port": 0},
    {"mode": ["reverse:http://localhost:1@0.0.0.0:0"]},
    {"mode": ["regular@0"]},
]


@pytest.mark.parametrize("options", REACHABLE)
def test_a_key_is_not_offered_to_strangers(caplog: pytest.LogCaptureFixture, options: dict[str, object]) -> None:
    """The actual address counts: there, a key without a token is an error, which ends mitmproxy."""
    assert any(host != "127.0.0.1" for host, _ in run(configured(key=KEY), **options))
    (message,) = log_messages(caplog)
    assert [record.levelno for record in caplog.records if record.name == "moonpalace"] == [logging.ERROR]
    assert message.startswith("Error: the proxy listens on port ")
    assert "MOONPALACE_TOKEN" in message
    assert KEY not in message


@pytest.mark.parametrize("options", REACHABLE)
@pytest.mark.parametrize("given", [{}, {"key": KEY, "token": TOKEN}])
def test_others_may_listen_anywhere(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    options: dict[str, object],
) -> None:
    """Without a key, or with a token, other machines may call, under any of this machine's names."""
    monkeypatch.setattr(listening, "machine_names", lambda: frozenset({"mybox.corp.example"}))
    configuration = configured(**given)
    run(configuration, **options)
    assert all(not message.startswith("Error") for message in log_messages(caplog))
    assert configuration.names == {"mybox.corp.example"}


def test_names_are_not_asked_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up the machine's names can wait for the network, so it is skipped if only this machine can call."""
    monkeypatch.setattr(listening, "machine_names", lambda: pytest.fail("nobody else can call"))
    configuration = configured()
    run(configuration)
    assert configuration.names == frozenset()


def test_a_client_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the proxy does not become ready, an early client is disconnected instead of hanging."""
    monkeypatch.setattr(listening, "READY_TIMEOUT", 0.0)

    async def wait() -> None:
        client = tflow.tclient_conn()
        held = Listening(configured()).client_connected(client)
        assert held is not None
        await held
        assert client.error

    asyncio.run(wait())
    assert Listening(Configuration()).client_connected(tflow.tclient_conn()) is None

"""The settings as seen by the addons."""

import logging
from pathlib import Path

import pytest
from mitmproxy import exceptions
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm.own_requests import OWN
from moonpalace_addons.settings.table import MITMPROXY_OPTIONS, TABLE
from moonpalace_addons.settings.values import resolve


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a temporary folder as the home."""
    monkeypatch.setenv("MOONPALACE_HOME", str(tmp_path))
    return tmp_path


def loaded(**given: str) -> Configuration:
    """Load a configuration into mitmproxy with these of our options, given by their names without the prefix."""
    configuration = Configuration()
    with taddons.context(configuration) as context:
        context.configure(configuration, **{f"moonpalace_{name}": value for name, value in given.items()})
    return configuration


def test_given_settings_are_ready_at_once() -> None:
    """The settings resolved by `mpal start` are available before any mitmproxy event."""
    settings = resolve({}, {"MOONPALACE_HOME": "/nowhere"})
    configuration = Configuration(settings)
    assert configuration.ready
    assert configuration.settings is settings


def test_every_setting_but_the_secrets_is_an_option() -> None:
    """There is an option with a help text for every setting except secrets, which would be visible."""
    with taddons.context(Configuration()) as context:
        ours = {name: option for name, option in context.options.items() if name.startswith("moonpalace_")}
    assert set(ours) == {setting.option for setting in MITMPROXY_OPTIONS}
    assert "moonpalace_key" not in ours
    assert "moonpalace_token" not in ours
    assert all(option.help for option in ours.values())


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mitmproxy option takes precedence over the variable, and that over the default."""
    monkeypatch.setenv("MOONPALACE_PORT", "1111")
    monkeypatch.setenv("MOONPALACE_HOST", "::1")
    configuration = loaded(port="2222")
    assert (configuration.settings.port, configuration.settings.host) == (2222, "::1")


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        ({"port": "70000"}, {}, "Error: option moonpalace_port: '70000' must be a whole number from 0 to 65535"),
        ({}, {"MOONPALACE_HOST": "0.0.0.0", "MOONPALACE_KEY": "sk-secret-key"}, "Error: host '0.0.0.0' lets other"),
        ({"cache_ttl": "0"}, {}, "Error: option moonpalace_cache_ttl: '0' must be a whole number of seconds from 1"),
        ({}, {"MOONPALACE_PORTT": "1"}, "Error: variable 'MOONPALACE_PORTT' is unknown"),
    ],
)
def test_error_is_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    environment: dict[str, str],
    message: str,
) -> None:
    """Invalid settings are one line without traceback or secret; mitmproxy exits if it starts with an error."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configuration = loaded(**given)
    (record,) = caplog.records
    assert not configuration.ready
    assert record.levelno == logging.ERROR
    assert record.exc_info is None
    assert record.getMessage().startswith(message)
    assert "sk-secret-key" not in record.getMessage()


@pytest.mark.parametrize("setting", [setting for setting in TABLE if setting.secret], ids=lambda setting: setting.name)
def test_secret_as_option_is_refused(caplog: pytest.LogCaptureFixture, setting: object) -> None:
    """`--set moonpalace_key=…` is refused, naming the variable to use instead and without the value."""
    name, variable = setting.option, setting.env  # type: ignore[attr-defined]
    with taddons.context() as context:
        context.options.set(f"{name}=sk-secret-key", defer=True)
        configuration = Configuration()
        context.master.addons.add(configuration)
        context.configure(configuration)
    text = caplog.messages[0]
    assert text.startswith(f"Error: {name} is not an option")
    assert text.endswith(f"set {variable} instead")
    assert "sk-secret-key" not in caplog.text


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("postgresql://me:hunter22@host/calls", True),
        ("postgresql+psycopg://host/calls?user=me&password=hunter22", True),
        ("postgresql://me@host/calls", False),
        ("sqlite:////tmp/me:at@home.sqlite", False),
    ],
)
def test_password_as_option_is_refused(caplog: pytest.LogCaptureFixture, url: str, is_refused: bool) -> None:
    """A database URL given as an option must not have a password; the error does not repeat it."""
    configuration = Configuration()
    with taddons.context(configuration) as context:
        context.configure(configuration, moonpalace_database=url)
    message = (
        "Error: moonpalace_database must not contain a password, which the process list and mitmweb would show: "
        "set MOONPALACE_DATABASE instead"
    )
    assert caplog.messages == ([message] if is_refused else [])


def test_a_misspelt_option_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown option of ours is an error that suggests the nearest one; other addons' options are ignored."""
    configuration = Configuration()
    with taddons.context() as context:
        context.options.update_defer(moonpalace_endpiont="http://x", other_option="1")
        context.master.addons.add(configuration)
        configuration.configure(set())
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().startswith(
        "Error: there is no option moonpalace_endpiont; did you mean moonpalace_endpoint"
    )


def test_options_cannot_change_later() -> None:
    """Our options are refused once the proxy runs; options of mitmproxy may change."""
    configuration = Configuration()
    with taddons.context(configuration) as context:
        context.configure(configuration, moonpalace_port="2222")
        settings = configuration.settings
        with pytest.raises(exceptions.OptionsError, match="restart"):
            context.configure(configuration, moonpalace_port="3333")
        configuration.configure({"mode"})
    assert configuration.settings is settings


@pytest.mark.parametrize(
    ("mode", "endpoint", "address", "expected"),
    [
        ("reverse:https://api.moonshot.cn", "https://api.moonshot.cn", ("any.example", 1), True),
        ("regular", "https://api.moonshot.cn", ("api.moonshot.cn", 443), True),
        ("regular", "https://api.moonshot.cn", ("API.MOONSHOT.CN", 443), True),
        ("regular", "https://api.moonshot.cn", ("api.moonshot.cn", 80), False),
        ("regular", "https://api.moonshot.cn", ("api.moonshot.cn.evil.example", 443), False),
        ("regular", "http://localhost:9990", ("localhost", 9990), True),
        ("regular", "http://localhost", ("localhost", 80), True),
        ("regular", "http://[::1]:9990", ("::1", 9990), True),
        ("regular", "http://localhost:9990", ("localhost", 9991), False),
    ],
)
def test_which_flows_are_calls(mode: str, endpoint: str, address: tuple[str, int], expected: bool) -> None:
    """In reverse mode every flow is a call to the API, in forward mode those to the endpoint's host and port."""
    configuration = Configuration(resolve({"endpoint": endpoint}, {"MOONPALACE_HOME": "/nowhere"}))
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    flow.request.host, flow.request.port = address
    assert configuration.concerns(flow) is expected


def test_requests_of_our_own_are_no_calls() -> None:
    """Requests of the proxy itself, such as for caches, are neither captured nor guarded."""
    configuration = Configuration(resolve({}, {"MOONPALACE_HOME": "/nowhere"}))
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse("reverse:https://api.moonshot.cn")
    assert configuration.concerns(flow)
    flow.metadata[OWN] = True
    assert not configuration.concerns(flow)


def test_nothing_is_a_call_before_the_settings_are_known() -> None:
    """Without settings every flow is ignored."""
    assert not Configuration().concerns(tflow.tflow())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ()),
        ({"key": "sk-owner"}, (b"sk-owner",)),
        ({"key": "sk-owner", "token": "team-token"}, (b"sk-owner", b"team-token")),
    ],
)
def test_own_secrets(given: dict[str, object | None], expected: tuple[bytes, ...]) -> None:
    """The key and the token must be masked."""
    assert Configuration(resolve(given, {"MOONPALACE_HOME": "/nowhere"})).own_secrets() == expected

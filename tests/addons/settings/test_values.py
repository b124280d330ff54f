"""The table of settings, its parsers, and the resolution of a value from its sources."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.table import MITMPROXY_OPTIONS, TABLE
from moonpalace_addons.settings.values import Settings, home
from moonpalace_addons.settings.values import resolve as resolve_settings
from tests.addons.settings.documented import DOCUMENTED
from tests.addons.settings.resolved import SECRET, parse_option, refusal, resolve

# ---- the table ----------------------------------------------------------------------------------------------------


def test_names_derive() -> None:
    """Variable, option and keys in config.yaml follow from the name, or are documented exceptions."""
    rows = {setting.name: (setting.env, setting.option, ".".join(setting.path)) for setting in TABLE}
    assert rows["port"] == ("MOONPALACE_PORT", "moonpalace_port", "start.port")
    assert rows["upstream-ca"] == ("MOONPALACE_UPSTREAM_CA", "moonpalace_upstream_ca", "start.upstream-ca")
    assert rows["endpoint"][2] == "endpoint"
    assert rows["cache-ttl"] == ("MOONPALACE_CACHE_TTL", "moonpalace_cache_ttl", "start.auto-cache.ttl")


def test_secrets_are_no_options() -> None:
    """All settings except secrets are options of mitmproxy."""
    assert {setting.name for setting in TABLE} - {setting.name for setting in MITMPROXY_OPTIONS} == {
        "key",
        "token",
        "web-password",
    }


@pytest.mark.parametrize("setting", TABLE, ids=[setting.name for setting in TABLE])
def test_default_is_allowed(setting: object, tmp_path: Path) -> None:
    """Every default in the table is valid for its own parser, and documented in the help."""
    row = next(one for one in TABLE if one is setting)
    if row.default not in (None, ()):
        text = "false" if row.default is False else str(row.default)
        assert parse_option(row.name, text) == row.default
        assert ("off" if row.default is False else text.removesuffix(".0")) in row.help
    assert "\n" not in row.help


def test_defaults(tmp_path: Path) -> None:
    """Without any source every setting has the default of the table, or one that depends on the machine."""
    settings = resolve(tmp_path)
    found = {setting.field: getattr(settings, setting.field) for setting in TABLE}
    database = f"sqlite:///{tmp_path}/moonpalace.sqlite"
    assert found == {setting.field: setting.default for setting in TABLE} | {"database": database, "otel": False}
    endpoint = Endpoint("https://api.moonshot.cn")
    assert settings == Settings(database=database, otel=False, endpoints=(endpoint,), home=tmp_path)


# ---- sources ------------------------------------------------------------------------------------------------------

CONFIG = "start:\n    port: 3\nendpoint: http://config\n"


@pytest.mark.parametrize(
    ("given", "environ", "config", "port"),
    [
        ({"port": "1"}, {"MOONPALACE_PORT": "2"}, CONFIG, 1),
        ({"port": 1}, {}, None, 1),
        ({"port": None}, {"MOONPALACE_PORT": "2"}, CONFIG, 2),
        ({}, {"MOONPALACE_PORT": ""}, CONFIG, 3),
        ({}, {}, CONFIG, 3),
        ({}, {}, None, 9988),
    ],
)
def test_precedence(
    given: Mapping[str, object], environ: dict[str, str], config: str | None, port: int, tmp_path: Path
) -> None:
    """Flags override the environment, which overrides config.yaml, which overrides the default."""
    assert resolve(tmp_path, given, environ, config=config).port == port


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("insecure", True, "insecure", True),
        ("insecure", False, "insecure", False),
        ("idle-timeout", 5, "idle_timeout", 5.0),
        ("allow-origins", ["http://a", "http://b"], "allow_origins", ("http://a", "http://b")),
        ("database", Path("/d/x.sqlite"), "database", "sqlite:////d/x.sqlite"),
        ("upstream-proxy", "none", "upstream_proxy", None),
    ],
)
def test_given_python_values(name: str, value: object, field: str, expected: object, tmp_path: Path) -> None:
    """Parsed values are accepted like their text."""
    assert getattr(resolve(tmp_path, {name: value}), field) == expected


def test_empty_variable_is_unset(tmp_path: Path) -> None:
    """An empty variable does not turn a switch on, although `--set moonpalace_insecure=` does."""
    assert resolve(tmp_path, {}, {"MOONPALACE_INSECURE": ""}).insecure is False
    assert resolve(tmp_path, {"insecure": ""}).insecure is True


def test_errors_name_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error starts with the flag, the variable, the option, or the file with line and key."""
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    tail = "'x' must be a whole number from 0 to 65535 (0 = any free port)"
    assert refusal(tmp_path, {"port": "x"}) == f"flag --port: {tail}"
    assert refusal(tmp_path, {}, {"MOONPALACE_PORT": "x"}) == f"variable MOONPALACE_PORT: {tail}"
    config = "start:\n    host: localhost\n    port: x\n"
    assert refusal(tmp_path, config=config) == f"~/{tmp_path.name}/config.yaml, line 3: start.port: {tail}"
    with pytest.raises(SettingError, match=r"^option moonpalace_port: 'x' must"):
        resolve_settings({"port": "x"}, {"MOONPALACE_HOME": str(tmp_path)}, given_as="option")


@pytest.mark.parametrize(
    ("name", "nearest"), [("MOONPALACE_PROT", "MOONPALACE_PORT"), ("MOONPALACE_DATABSE", "MOONPALACE_DATABASE")]
)
def test_unknown_variable(name: str, nearest: str, tmp_path: Path) -> None:
    """A misspelt variable is an error that suggests the closest name, for every command."""
    assert refusal(tmp_path, {}, {name: SECRET}) == f"variable '{name}' is unknown; the closest is {nearest}"


def test_variables_of_others(tmp_path: Path) -> None:
    """Variables of the tests and of other programs are ignored."""
    assert resolve(tmp_path, {}, {"MOONPALACE_TEST_X": "1", "MOONPALACEX": "1", "PORT": "x"}).port == 9988


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MOONPALACE_HOME names the folder, else it is .moonpalace in the user's home; it is absolute."""
    monkeypatch.chdir(tmp_path)
    assert home({"HOME": "/home/luna"}) == Path("/home/luna/.moonpalace")
    assert home({"HOME": "/home/luna", "MOONPALACE_HOME": ""}) == Path("/home/luna/.moonpalace")
    assert home({"MOONPALACE_HOME": "here"}) == tmp_path / "here"
    with pytest.raises(SettingError, match=r"^variable MOONPALACE_HOME: "):
        home({"MOONPALACE_HOME": "~nobody-has-this-name/x"})


def test_home_that_no_url_can_hold() -> None:
    """A folder that a database URL cannot contain is rejected, instead of opening another file."""
    with pytest.raises(SettingError, match=r"MOONPALACE_HOME\): '/a\?b' must not contain"):
        resolve_settings({}, {"MOONPALACE_HOME": "/a?b"})


def test_named_config_file(tmp_path: Path) -> None:
    """--config wins over MOONPALACE_CONFIG, and that over the file in the home folder."""
    for name, port in (("flag.yaml", 1), ("variable.yaml", 2), ("config.yaml", 3)):
        (tmp_path / name).write_text(f"start: {{port: {port}}}")
    environ = {"MOONPALACE_HOME": str(tmp_path)}
    named = environ | {"MOONPALACE_CONFIG": str(tmp_path / "variable.yaml")}
    chosen = [
        resolve_settings({}, named, tmp_path / "flag.yaml"),
        resolve_settings({}, named),
        resolve_settings({}, environ),
    ]
    assert [settings.port for settings in chosen] == [1, 2, 3]
    assert [str(settings.config_file) for settings in chosen] == [
        str(tmp_path / name) for name in ("flag.yaml", "variable.yaml", "config.yaml")
    ]


def test_named_config_file_must_exist(tmp_path: Path) -> None:
    """A configured but missing config file is an error that names its source."""
    missing = str(tmp_path / "missing.yaml")
    expected = f"{missing!r} does not exist"
    assert refusal(tmp_path, {}, {"MOONPALACE_CONFIG": missing}) == f"variable MOONPALACE_CONFIG: {expected}"
    with pytest.raises(SettingError) as caught:
        resolve_settings({}, {"MOONPALACE_HOME": str(tmp_path)}, Path(missing))
    assert str(caught.value) == f"flag --config: {expected}"


# ---- the documented file -------------------------------------------------------------------------------------------


def test_documented_file(tmp_path: Path) -> None:
    """The documented file sets what it says; a mapping under a feature turns it on, a flag overrides it."""
    settings = resolve(tmp_path, {}, config=DOCUMENTED)
    assert (settings.port, settings.key) == (8080, "sk-" + "x" * 30)
    assert (settings.force_stream, settings.detect_repeat, settings.auto_cache) == (True, True, True)
    assert (settings.repeat_threshold, settings.repeat_min_length) == (0.5, 100)
    assert (settings.cache_min_bytes, settings.cache_ttl, settings.cache_cleanup) == (4096, 90, 86_400)
    assert resolve(tmp_path, {"auto-cache": "false"}, config=DOCUMENTED).auto_cache is False


# ---- a command that works with few settings -----------------------------------------------------------------------


def test_named_settings_only(tmp_path: Path) -> None:
    """Settings that a command does not use are not validated, and keep their defaults."""
    config = DOCUMENTED.replace("8080", "none") + "database: /d/x.sqlite\n"
    environ = {"MOONPALACE_HOST": "0.0.0.0", "MOONPALACE_IDLE_TIMEOUT": "x", "https_proxy": "socks5://h"}
    settings = resolve(tmp_path, {}, environ, config=config, names=("database", "endpoint"))
    assert settings.database == "sqlite:////d/x.sqlite"
    assert (settings.port, settings.key, settings.host, settings.force_stream) == (9988, None, "127.0.0.1", False)


def test_broken_config_stops_every_command(tmp_path: Path) -> None:
    """An invalid config.yaml, or an unknown key, is an error whatever settings the command uses."""
    for config in ("start: [", "start: {prot: 1}"):
        with pytest.raises(SettingError, match=r"config\.yaml, line 1"):
            resolve(tmp_path, config=config, names=("database",))

"""The table of settings, its parsers, and the resolution of a value from its sources."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.entries import FREE
from moonpalace_addons.settings.kinds import is_loopback
from moonpalace_addons.settings.table import BY_NAME, MITMPROXY_OPTIONS, TABLE
from moonpalace_addons.settings.values import Settings, _parse, home
from moonpalace_addons.settings.values import resolve as resolve_settings

SECRET = "sk-Wq7Zx3Rt9"


def parse_option(name: str, text: str) -> object:
    """Parse the text of a setting, as from mitmproxy's `--set`."""
    return _parse(BY_NAME[name], text, f"option {BY_NAME[name].option}")


def test_each_setting_has_its_field() -> None:
    """The table and the class Settings have the same fields."""
    fields = [field.name for field in dataclasses.fields(Settings)]
    assert sorted(setting.field for setting in TABLE) == sorted(set(fields) - {"home", "config_file", *FREE})


def resolve(
    folder: Path,
    given: Mapping[str, object | None] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    config: str | None = None,
    names: tuple[str, ...] | None = None,
) -> Settings:
    """Resolve with a temporary home folder and the text of config.yaml."""
    if config is not None:
        (folder / "config.yaml").write_text(config, encoding="utf-8")
    return resolve_settings(given or {}, {"MOONPALACE_HOME": str(folder), **(environ or {})}, names=names)


def refusal(
    folder: Path,
    given: Mapping[str, object | None] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | None = None,
) -> str:
    """Return the message of the SettingError of resolving, checked to be one line."""
    with pytest.raises(SettingError) as caught:
        resolve(folder, given, environ, config=config)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# ---- parsers ------------------------------------------------------------------------------------------------------

ACCEPTED: list[tuple[str, str, object]] = [
    ("port", "9988", 9988),
    ("port", "0", 0),
    ("port", " 65535 ", 65535),
    ("host", "127.0.0.1", "127.0.0.1"),
    ("host", "[::1]", "::1"),
    ("host", "FE80::1%eth0", "fe80::1%eth0"),
    ("host", "LocalHost", "localhost"),
    ("endpoint", "https://api.moonshot.ai", "https://api.moonshot.ai"),
    ("endpoint", "https://API.moonshot.ai/", "https://api.moonshot.ai"),
    ("endpoint", "api.moonshot.ai", "https://api.moonshot.ai"),
    ("endpoint", "localhost:8080", "https://localhost:8080"),
    ("endpoint", "http://127.0.0.1:80", "http://127.0.0.1"),
    ("endpoint", "https://h:443/", "https://h"),
    ("endpoint", "http://kimi:8080", "http://kimi:8080"),
    ("endpoint", "[::1]", "https://[::1]"),
    ("endpoint", "localhost", "https://localhost"),
    ("endpoint", "http://[::1]:7777", "http://[::1]:7777"),
    ("key", " sk-abc\n", "sk-abc"),
    ("token", "t", "t"),
    ("allow-origins", "*", ("*",)),
    ("allow-origins", "", ()),
    ("allow-origins", "http://LOCALHOST:3000/, https://a.b:443", ("http://localhost:3000", "https://a.b")),
    ("allow-origins", "chrome-extension://abcdef", ("chrome-extension://abcdef",)),
    ("database", "/data/calls.sqlite", "sqlite:////data/calls.sqlite"),
    ("database", "sqlite:///calls.sqlite", "sqlite:///calls.sqlite"),
    ("database", "postgresql+psycopg://u:p@h/db?x=1", "postgresql+psycopg://u:p@h/db?x=1"),
    ("redact-pattern", r"ACME-\d{1,3}, x", r"ACME-\d{1,3}, x"),
    ("retention-days", "7", 7),
    *[("max-size", text, 2_000_000_000) for text in ("2GB", "2000 mb", "2000000000", "0.002TB")],
    *[("max-size", text, 1_000_000) for text in ("1MB", "1000000")],
    ("max-size", "1.5MiB", 1_572_864),
    ("insecure", "", True),
    ("insecure", "YES", True),
    ("insecure", "1", True),
    ("insecure", "off", False),
    ("insecure", "No", False),
    ("upstream-proxy", "http://user:p%40ss@proxy:3128/", "http://user:p%40ss@proxy:3128"),
    ("upstream-proxy", "proxy:3128", "http://proxy:3128"),
    ("upstream-proxy", "https://proxy", "https://proxy"),
    ("upstream-proxy", "None", ""),
    ("idle-timeout", "0.5", 0.5),
    ("idle-timeout", "1e3", 1000.0),
    ("repeat-threshold", "0", 0.0),
    ("repeat-threshold", "1.", 1.0),
    ("repeat-threshold", ".5", 0.5),
    ("repeat-min-length", "0", 0),
    ("cache-min-bytes", "4096", 4096),
    ("cache-ttl", "60", 60),
    ("cache-wait", "0", 0.0),
    ("cache-wait", "2.5", 2.5),
]


@pytest.mark.parametrize(("name", "text", "value"), ACCEPTED)
def test_accepted(name: str, text: str, value: object) -> None:
    """Valid text becomes the typed, normalised value."""
    parsed = parse_option(name, text)
    assert (parsed, type(parsed)) == (value, type(value))


REFUSED: list[tuple[str, str]] = [
    *[("port", text) for text in ("", "-1", "65536", "80.0", "8_080", "0x50", "٣", "9" * 5000, "yes")],
    *[
        ("host", text)
        for text in ("", "a b", "host:80", "http://h", "1.2.3", "999.1.1.1", "[::1]:80", "a/b", "*", "bücher")
    ],
    *[
        ("endpoint", f"https://{rest}")
        for rest in ("", "u:p@h", "h?x=1", "h/a b", "h#f", "h:0", "h:99999", "h:x", "a b")
    ],
    *[
        ("endpoint", f"https://{rest}")
        for rest in ("h/v1", "h/v1/", "h//v1", "h//", "[::1", "h\\@x", "h:", "h\nx", "[]")
    ],
    *[("endpoint", text) for text in ("", "ftp://h", "https:h", "https:", "h/v1", "://h", "//h")],
    *[("retention-days", text) for text in ("0", "-1", "1.5", "7d", "36501")],
    *[
        ("max-size", text)
        for text in ("", "0", "-1", "GB", "2XB", "1e9", "0.1", "999999", "0.5MB", "99999999TB", "٣GB")
    ],
    *[("redact-pattern", text) for text in ("", " ")],
    *[("key", text) for text in ("", " ", "Bearer sk-abc", "sk\nabc", "sk-é", "a\0b")],
    *[
        ("allow-origins", text)
        for text in ("localhost:3000", "https://h/path", "https://*.h", "null", "https://u@h", "a,*")
    ],
    *[
        ("database", text)
        for text in ("", "sqlite:/x", "postgres://h/d", "://x", "9x://h", "a?b", "a%41b", "a\0b", "/", "a\nb")
    ],
    *[("upstream-ca", text) for text in ("", "/nonexistent/ca.pem", "/", "~nobody-has-this-name/x", "a\0b")],
    *[("insecure", text) for text in ("2", "maybe", "t")],
    *[
        ("upstream-proxy", text)
        for text in ("", "socks5://h:1", "http://h/path", "http://h:port", "http://a b", "http://u v@h", "http://@")
    ],
    *[("idle-timeout", text) for text in ("0", "-1", "nan", "inf", "1e999", "1_0", "", "31536001")],
    *[("repeat-threshold", text) for text in ("1.01", "-0.1", "half", ".", "nan")],
    *[("repeat-min-length", text) for text in ("-1", "1.5")],
    *[("cache-ttl", text) for text in ("0", "1.5", "60s")],
    *[("cache-wait", text) for text in ("-1", "601", "true")],
]


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_refused(name: str, text: str) -> None:
    """Invalid text is rejected in one line with the option and what is allowed."""
    with pytest.raises(SettingError) as caught:
        parse_option(name, text)
    message = str(caught.value)
    assert message.startswith(f"option {BY_NAME[name].option}: ")
    assert "must " in message
    assert len(message.splitlines()) == 1
    assert len(message) < 400


@pytest.mark.parametrize("text", ["foo", "Foo/", "foo:8080"])
def test_endpoint_that_is_a_word(text: str) -> None:
    """A single word is rejected as a mistake: a host without a dot needs a scheme."""
    with pytest.raises(SettingError, match=r"must be a URL: if foo is a host, put http:// or https:// before it$"):
        parse_option("endpoint", text)


@pytest.mark.parametrize("text", ["https://api.kimi.com/coding", "https://api.kimi.com/coding/", "api.kimi.com/coding"])
def test_endpoint_with_a_path(text: str) -> None:
    """An endpoint may have a path, which precedes that of each call."""
    assert parse_option("endpoint", text) == "https://api.kimi.com/coding"


def test_endpoint_with_v1() -> None:
    """An endpoint that ends in /v1 is rejected, with the right endpoint."""
    with pytest.raises(SettingError, match=r"/v1.* set https://api\.moonshot\.ai$"):
        parse_option("endpoint", "api.moonshot.ai/v1/")


def test_existing_file(tmp_path: Path) -> None:
    """A file that exists is given as an absolute path."""
    file = tmp_path / "ca.pem"
    file.touch()
    assert parse_option("upstream-ca", str(file)) == file


def test_relative_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative database path is resolved against the working directory, and `~` is expanded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/luna")
    assert parse_option("database", "calls.sqlite") == f"sqlite:///{tmp_path}/calls.sqlite"
    assert parse_option("database", "~/calls.sqlite") == "sqlite:////home/luna/calls.sqlite"


@pytest.mark.parametrize("path", ["/data/a b.sqlite", "/data/100%.sqlite", "/data/u@h:1#x.sqlite", "/data/月.sqlite"])
def test_database_path_reaches_sqlalchemy(path: str) -> None:
    """SQLAlchemy parses the same path from its URL."""
    url = make_url(str(parse_option("database", path)))
    assert (url.database, dict(url.query)) == (path, {})


def message_of(name: str, text: str) -> str:
    """Return the message of the SettingError for a text, or an empty string if it is valid."""
    try:
        parse_option(name, text)
    except SettingError as error:
        return str(error)
    return ""


TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="0123456789.e-+_ "),
    st.text(alphabet="htps:/[]@?#%.1v*,~ \n\0a"),
    st.from_regex(r"[a-z0-9+]{0,6}:?/?/?[a-z:@\[\]]*:?[0-9]*/?.*", fullmatch=True),
)


@pytest.mark.parametrize("name", [setting.name for setting in TABLE])
@settings(max_examples=25)  # for each of many settings, which share their parsers
@given(text=TEXTS)
@example(text="\ud800")
@example(text="/" + "a" * 5000)
@example(text="http://[v1.a]")
@example(text="\u212a")
def test_any_text(name: str, text: str) -> None:
    """Any text gives a value or a one-line SettingError."""
    assert len(message_of(name, text).splitlines()) <= 1


@pytest.mark.parametrize("name", ["upstream-proxy", "database", "endpoint"])
@given(text=st.builds(
    lambda scheme, user, more, host, tail: f"{scheme}{user}:{SECRET}{more}@{host}{tail}",
    st.sampled_from(["", "http://", "https:/", "postgres://", "sqlite:", "ftp://", "h ttp://"]),
    st.text(alphabet="ab:/?#[]% ", max_size=5),
    st.text(alphabet="ab:/?#[]@% ", max_size=5),
    st.sampled_from(["host", "host:99999", "[::1", "", "ho st"]),
    st.sampled_from(["", "/", "/path", "?x=1", "\n"]),
))  # fmt: skip
def test_user_info_is_not_repeated(name: str, text: str) -> None:
    """No error contains the user or password of a URL, however malformed."""
    assert SECRET not in message_of(name, text)


@pytest.mark.parametrize("text", [f"postgres://h/d?user=u&password={SECRET}", f"postgres://h/d?password=p@{SECRET}"])
def test_query_is_not_repeated(text: str) -> None:
    """No error contains a password in the query of a database URL."""
    with pytest.raises(SettingError) as caught:
        parse_option("database", text)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["key", "token"])
def test_secret_is_not_repeated(name: str, tmp_path: Path) -> None:
    """An error about a secret names its source, and contains it neither in its text nor in its cause."""
    variable = BY_NAME[name].env
    with pytest.raises(SettingError) as caught:
        resolve(tmp_path, {}, {variable: f"Bearer {SECRET}"})
    assert str(caught.value).startswith(f"variable {variable}: the value must be ")
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_repr_holds_no_secret(tmp_path: Path) -> None:
    """The repr of the settings contains no secret."""
    given = {"key": SECRET, "token": f"t{SECRET}", "upstream-proxy": f"http://u:{SECRET}@h"}
    settings = resolve(tmp_path, given | {"database": f"postgresql://u:{SECRET}@h/d"})
    assert SECRET not in repr(settings)
    assert settings.key == SECRET


# ---- the table ----------------------------------------------------------------------------------------------------


def test_fields_are_the_table() -> None:
    """Settings has one field for every row of the table, plus the folder, the file and its free parts."""
    fields = [one.name.replace("_", "-") for one in dataclasses.fields(Settings)]
    assert sorted(fields) == sorted([*BY_NAME, *FREE, "home", "config-file"])


def test_names_derive() -> None:
    """Variable, option and keys in config.yaml follow from the name, or are documented exceptions."""
    rows = {setting.name: (setting.env, setting.option, ".".join(setting.path)) for setting in TABLE}
    assert rows["port"] == ("MOONPALACE_PORT", "moonpalace_port", "start.port")
    assert rows["upstream-ca"] == ("MOONPALACE_UPSTREAM_CA", "moonpalace_upstream_ca", "start.upstream-ca")
    assert rows["endpoint"][2] == "endpoint"
    assert rows["cache-ttl"] == ("MOONPALACE_CACHE_TTL", "moonpalace_cache_ttl", "start.auto-cache.ttl")


def test_secrets_are_no_options() -> None:
    """All settings but the secrets are offered as options of mitmproxy."""
    assert {setting.name for setting in TABLE} - {setting.name for setting in MITMPROXY_OPTIONS} == {"key", "token"}


@pytest.mark.parametrize("setting", TABLE, ids=[setting.name for setting in TABLE])
def test_default_is_allowed(setting: object, tmp_path: Path) -> None:
    """Every default in the table passes its own parser, and the help says it."""
    row = next(one for one in TABLE if one is setting)
    if row.default not in (None, ()):
        text = "false" if row.default is False else str(row.default)
        assert parse_option(row.name, text) == row.default
        assert ("off" if row.default is False else text.removesuffix(".0")) in row.help
    assert "\n" not in row.help


def test_defaults(tmp_path: Path) -> None:
    """Without any source every setting has its documented default."""
    settings = resolve(tmp_path)
    assert settings == Settings(
        port=9988,
        host="127.0.0.1",
        endpoint="https://api.moonshot.cn",
        key=None,
        token=None,
        allow_origins=(),
        database=f"sqlite:///{tmp_path}/moonpalace.sqlite",
        redact_pattern=None,
        retention_days=None,
        max_size=None,
        endpoints=(Endpoint("https://api.moonshot.cn"),),
        prices=(),
        upstream_ca=None,
        insecure=False,
        upstream_proxy=None,
        idle_timeout=960.0,
        engine="moonpalace",
        log="full",
        quiet=False,
        tls_cert=None,
        tls_key=None,
        max_body=100_000_000,
        max_head=1_000_000,
        force_stream=False,
        heartbeat=10.0,
        stream_usage=False,
        detect_repeat=False,
        repeat_threshold=0.5,
        repeat_min_length=100,
        auto_cache=False,
        cache_min_bytes=4096,
        cache_ttl=60,
        cache_cleanup=86400,
        cache_wait=0.0,
        cache_key_hint=False,
        home=tmp_path,
        config_file=None,
    )


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

DOCUMENTED = """\
start:
    port: 8080                             # 对应 --port              命令行参数
    key: sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx # 对应 --key               命令行参数
    detect-repeat:                         # 对应 --detect-repeat     命令行选项
        threshold: 0.5                     # 对应 --repeat-threshold  命令行参数
        min-length: 100                    # 对应 --repeat-min-length 命令行参数
    force-stream: true                     # 对应 --force-stream      命令行选项
    auto-cache:
        min-bytes: 4096                    # 对应 --cache-min-bytes   命令行选项
        ttl: 90                            # 对应 --cache-ttl         命令行选项
        cleanup: 86400                     # 对应 --cache-cleanup     命令行选项
"""


def test_documented_file(tmp_path: Path) -> None:
    """The documented file sets what it says; a mapping under a feature turns it on, a flag overrides it."""
    settings = resolve(tmp_path, {}, config=DOCUMENTED)
    assert (settings.port, settings.key) == (8080, "sk-" + "x" * 30)
    assert (settings.force_stream, settings.detect_repeat, settings.auto_cache) == (True, True, True)
    assert (settings.repeat_threshold, settings.repeat_min_length) == (0.5, 100)
    assert (settings.cache_min_bytes, settings.cache_ttl, settings.cache_cleanup) == (4096, 90, 86_400)
    assert resolve(tmp_path, {"auto-cache": "false"}, config=DOCUMENTED).auto_cache is False


# ---- values that do not go together -------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_key_on_loopback(host: str, tmp_path: Path) -> None:
    """A key needs no token on a loopback address."""
    assert resolve(tmp_path, {"host": host, "key": "k"}).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "box", "localhost.example.com", "127.example.com"])
def test_key_beyond_loopback(host: str, tmp_path: Path) -> None:
    """A key on any other host requires a token, and the error does not contain the key."""
    message = refusal(tmp_path, {"host": host, "key": SECRET})
    assert f"host {host!r} lets other machines use the key" in message
    assert "--token" in message
    assert SECRET not in message
    assert resolve(tmp_path, {"host": host, "key": SECRET, "token": "t"}).host == host
    assert resolve(tmp_path, {"host": host}).host == host


def test_token_without_key(tmp_path: Path) -> None:
    """A token without a key is rejected, with the remedy."""
    assert "set the key too" in refusal(tmp_path, {"token": "t"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost.", True), ("[::1]", True), ("0.0.0.0", False), ("", False), ("::", False)],
)
def test_is_loopback(host: str, expected: bool) -> None:
    """Loopback addresses are distinguished from all others."""
    assert is_loopback(host) is expected


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


# ---- the proxy of the environment ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "p:1"}, "http://p:1"),
        ({"https_proxy": "http://lower", "HTTPS_PROXY": "http://upper"}, "http://lower"),
        ({"ALL_PROXY": "http://all", "HTTPS_PROXY": "http://own"}, "http://own"),
        ({"all_proxy": "http://all"}, "http://all"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_UPSTREAM_PROXY": "none"}, None),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_UPSTREAM_PROXY": "http://q"}, "http://q"),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": "http://h"}, None),
        ({"HTTP_PROXY": "http://p", "MOONPALACE_ENDPOINT": "http://h"}, "http://p"),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": "https://127.0.0.1:8443"}, None),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": "https://[::1]:8443"}, None),
        ({"HTTPS_PROXY": "socks5://p", "MOONPALACE_UPSTREAM_PROXY": "none"}, None),
    ],
)
def test_environment_proxy(environ: dict[str, str], proxy: str | None, tmp_path: Path) -> None:
    """The outgoing proxy comes from the standard variables unless ours is set; a loopback endpoint has none."""
    assert resolve(tmp_path, {}, environ).upstream_proxy == proxy


@pytest.mark.parametrize(
    ("endpoint", "no_proxy", "excepted"),
    [
        ("https://api.moonshot.cn", "*", True),
        ("https://api.moonshot.cn", "moonshot.cn", True),
        ("https://api.moonshot.cn", ".moonshot.cn", True),
        ("https://api.moonshot.cn", "*.moonshot.cn", True),
        ("https://api.moonshot.cn", "other, API.moonshot.cn:443", True),
        ("https://api.moonshot.cn", "api.moonshot.cn:8443", False),
        ("https://api.moonshot.cn", "shot.cn", False),
        ("https://api.moonshot.cn", "", False),
        ("https://api.moonshot.cn", ", . ,", False),
        ("https://10.1.2.3:8443", "10.0.0.0/8", True),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://10.1.2.3:8443", "11.0.0.0/8", False),
        ("https://[fd00::2]:8443", "fd00::/8", True),
        ("https://[fd00::2]:8443", "[fd00::2]:8443", True),
        ("https://[fd00::2]:8443", "[fd00::2]:1", False),
    ],
)
def test_no_proxy(endpoint: str, no_proxy: str, excepted: bool, tmp_path: Path) -> None:
    """NO_PROXY matches hosts, domains, addresses and networks, with or without a port."""
    settings = resolve(tmp_path, {}, {"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": endpoint, "NO_PROXY": no_proxy})
    assert (settings.upstream_proxy is None) is excepted


def test_bad_environment_proxy(tmp_path: Path) -> None:
    """An unsupported proxy is an error instead of being ignored, and its password is not shown."""
    message = refusal(tmp_path, {}, {"HTTPS_PROXY": f"socks5://u:{SECRET}@h:1080"})
    assert message.startswith("variable HTTPS_PROXY (--upstream-proxy overrides it): 'socks5://…@h:1080' must be ")


def test_imports_stay_light() -> None:
    """Resolving settings imports neither the proxy, nor the store, nor YAML, nor click."""
    code = (
        "import sys; import moonpalace_addons.settings.config_file;"
        "from moonpalace_addons.settings.values import resolve;"
        "resolve({}, {'MOONPALACE_HOME': '/nonexistent'});"
        "print([name for name in ('mitmproxy', 'sqlalchemy', 'alembic', 'yaml', 'click') if name in sys.modules])"
    )
    source = Path(sys.modules[Settings.__module__].__file__ or "").parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

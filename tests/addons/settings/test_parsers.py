"""The parsers of settings."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.table import BY_NAME, TABLE
from tests.addons.settings.resolved import SECRET, parse_option, resolve
from tests.tables import for_each

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


@for_each(("name", "text", "value"), ACCEPTED)
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


@for_each(("name", "text"), REFUSED)
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

"""Tests of endpoints with names, and of prices, in config.yaml."""

from pathlib import Path

import pytest

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.config_file import exposed_secrets
from moonpalace_addons.settings.endpoints import Endpoint, announced
from moonpalace_addons.settings.values import Settings, resolve
from moonpalace_addons.wire.prices import PriceRule, Rates

KEY = "sk-config-0123456789"
WHOLE = f"""
endpoints:
  kimi: https://api.moonshot.cn
  claude:
    url: api.anthropic.com
    key: {KEY}
    headers: {{anthropic-beta: "a,b", X-Api-Token: {KEY}-2}}
    prices: {{claude-*: {{input: 2, output: 4}}}}
  local: {{url: http://127.0.0.1:11434/openai/}}
prices:
  kimi-k3: {{input: 20, cached: 2, output: 100.5, currency: cny, endpoint: kimi}}
  "*-long": {{input: 1, output: 2, cache-write: 3, cache-write-1h: 4}}
"""


def settings(folder: Path, text: str, environ: dict[str, str] | None = None, **given: str) -> Settings:
    """Return the settings of a file and of flags."""
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return resolve(given, {"MOONPALACE_HOME": str(folder)} | (environ or {}), file)


def test_endpoints(tmp_path: Path) -> None:
    """Each has a URL, and optionally a key and headers; clients reach the first one without a name."""
    found = settings(tmp_path, WHOLE)
    assert found.endpoint == "https://api.moonshot.cn"
    assert found.key is None
    assert found.endpoints == (
        Endpoint("https://api.moonshot.cn", "kimi"),
        Endpoint("https://api.anthropic.com", "claude", KEY, (("anthropic-beta", "a,b"), ("X-Api-Token", f"{KEY}-2"))),
        Endpoint("http://127.0.0.1:11434/openai", "local"),
    )
    assert [endpoint.secrets for endpoint in found.endpoints] == [(), (KEY, f"{KEY}-2"), ()]
    assert found.has_credentials
    assert KEY not in repr(found)


def test_prices(tmp_path: Path) -> None:
    """Prices of an endpoint come first and apply only to it; others apply where they say."""
    assert settings(tmp_path, WHOLE).prices == (
        PriceRule("claude-*", Rates(2.0, 4.0), "claude"),
        PriceRule("kimi-k3", Rates(20.0, 100.5, 2.0, currency="CNY"), "kimi"),
        PriceRule("*-long", Rates(1.0, 2.0, None, 3.0, 4.0)),
    )


@pytest.mark.parametrize(
    ("given", "first", "count"),
    [
        ({}, Endpoint("https://api.moonshot.cn", "kimi"), 3),
        ({"endpoint": "https://other"}, Endpoint("https://other"), 4),
        ({"endpoint": "http://127.0.0.1:11434/openai"}, Endpoint("http://127.0.0.1:11434/openai", "local"), 3),
        ({"key": "sk-mine"}, Endpoint("https://api.moonshot.cn", "kimi", "sk-mine"), 3),
    ],
)
def test_the_first_endpoint(tmp_path: Path, given: dict[str, str], first: Endpoint, count: int) -> None:
    """A flag chooses another endpoint, named or not; the key without a name is only sent to that one."""
    found = settings(tmp_path, WHOLE, None, **given)
    assert found.endpoints[0] == first
    assert (found.endpoint, found.key) == (first.url, first.key)
    assert len(found.endpoints) == count
    assert [each.key for each in found.endpoints[1:] if each.name != "claude"] == [None] * (count - 2)


def test_parts_of_a_url() -> None:
    """An endpoint knows its host, and the path that precedes those of calls."""
    endpoint = Endpoint("http://[::1]:8080/a/b")
    assert (endpoint.site, endpoint.prefix, endpoint.address) == ("http://[::1]:8080", "/a/b", ("http", "::1", 8080))
    assert Endpoint("https://h").address == ("https", "h", 443)
    assert Endpoint("https://h").prefix == ""


def test_proxies(tmp_path: Path) -> None:
    """The outgoing proxy from the environment depends on each endpoint's host; a named endpoint may have none."""
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "anthropic.com"}
    assert [each.proxy for each in settings(tmp_path, WHOLE, environ).endpoints] == ["http://proxy:3128", None, None]
    found = settings(tmp_path, WHOLE, environ, **{"upstream-proxy": "http://own:1"})
    assert [each.proxy for each in found.endpoints] == ["http://own:1", "http://own:1", None]
    assert found.upstream_proxy == "http://own:1"


def test_announcement() -> None:
    """The log says under which URL clients reach each endpoint that has a name."""
    lines = announced("http://127.0.0.1:9988/v1", (Endpoint("https://a"), Endpoint("https://b/c", "b")))
    assert list(lines) == ["http://127.0.0.1:9988/@b => https://b/c"]


@pytest.mark.parametrize("text", [WHOLE, f"endpoints: {{a: {{url: https://a, headers: {{X-Api-Key: {KEY}}}}}}}"])
def test_a_key_that_others_can_read(tmp_path: Path, text: str) -> None:
    """A file with an endpoint's key is as secret as one with the main key."""
    settings(tmp_path, text)
    (tmp_path / "config.yaml").chmod(0o644)
    found = exposed_secrets(tmp_path / "config.yaml")
    assert found is not None
    assert "holds a key that other users can read" in found[0]


def test_a_key_needs_a_token(tmp_path: Path) -> None:
    """A key of any endpoint requires a token for other machines, like the main key."""
    with pytest.raises(SettingError, match="lets other machines use the key"):
        settings(tmp_path, WHOLE, host="0.0.0.0")
    assert settings(tmp_path, WHOLE, host="0.0.0.0", token="token-1").token == "token-1"
    with pytest.raises(SettingError, match="no key is set"):
        settings(tmp_path, "endpoints: {a: https://a}", token="token-1")


REFUSED = [
    ("endpoints: https://a", "line 1: endpoints must be names with URLs, such as kimi: https://api.moonshot.cn"),
    ("endpoints: {}", "line 1: endpoints must be names with URLs"),
    ("endpoints: {a/b: https://a}", "line 1: endpoints.a/b is not a name for an endpoint: use letters, digits, dots"),
    ("endpoints:\n  a: ftp://a", "line 2: endpoints.a must be an http:// or https:// URL"),
    (
        "endpoints: {a: https://a/v1}",
        "line 1: endpoints.a must not end in /v1, which every call contains: set https://a",
    ),
    (
        "endpoints: {a: [https://a]}",
        "line 1: endpoints.a must be a URL, or a mapping with url, key, ",
    ),
    ("endpoints: {a: {key: k}}", "line 1: endpoints.a must have url: the base URL of the API"),
    ("endpoints: {a: {ulr: https://a}}", "line 1: endpoints.a.ulr is unknown; the closest is url, of headers, key, "),
    ("endpoints: {a: https://a, a: https://b}", "line 1: endpoints.a is there twice: remove one of them"),
    (f"endpoints: {{a: {{url: https://a, key: Bearer {KEY}}}}}", "line 1: endpoints.a.key must be ASCII characters"),
    (
        f"endpoints: {{a: {{url: https://a, headers: {{X Y: {KEY}}}}}}}",
        "line 1: endpoints.a.headers.X Y is not a valid header",
    ),
    ("endpoints: {a: {url: https://a, headers: {Host: b}}}", "line 1: endpoints.a.headers.Host cannot be set"),
    ("prices: 3", "line 1: prices must be models with their prices, such as kimi-k3: {input: 3, cached: 0.3, "),
    ("prices: {kimi-k3: 3}", "line 1: prices.kimi-k3 must be the prices of a million tokens: input, output, cached"),
    ("prices: {kimi-k3: {input: 3}}", "line 1: prices.kimi-k3 must have output: the price of a million tokens"),
    ("prices: {k: {input: -3, output: 1}}", "line 1: prices.k.input must be a number: the price of a million tokens"),
    ("prices: {k: {input: 3, ouput: 1}}", "line 1: prices.k.ouput is unknown; the closest is output, of "),
    ("prices: {k: {input: 3, output: 1, currency: Yuan}}", "line 1: prices.k.currency must be the three letters"),
    (
        "endpoints: {a: {url: https://a, prices: {k: {input: 1, output: 1, endpoint: b}}}}",
        "line 1: endpoints.a.prices.k.",
    ),
    *(
        (
            f"endpoints: {{kimi: https://a.b}}\nprices: {{k: {{input: 1, output: 1, endpoint: {place}}}}}",
            f"line 2: prices.k.endpoint {why}",
        )
        for place, why in (
            ("kimmi", "'kimmi' is not an endpoint of this file; did you mean kimi?"),
            (
                "other",
                "'other' is not an endpoint of this file; it must be the name of an endpoint under endpoints:, a host",
            ),
            ("a.b/v1", "'a.b/v1' is not an endpoint of this file; it must be the name"),
            ("https://a.b/v1", "must not end in /v1"),
            ("ftp://a.b", "must be the name of an endpoint"),
        )
    ),
    (
        "endpoint: https://a\nendpiont: b",
        "line 2: endpiont is unknown; the closest is endpoint, of database, endpoint, ",
    ),
]


@pytest.mark.parametrize(
    ("place", "read"),
    [
        *(("kimi", "kimi"), ("api.a.b", "api.a.b"), ("localhost", "localhost"), ("127.0.0.1:80", "127.0.0.1:80")),
        *(("https://API.a.b/", "https://api.a.b"), ("http://a.b/openai/", "http://a.b/openai")),
    ],
)
def test_where_prices_hold(tmp_path: Path, place: str, read: str) -> None:
    """A price holds at an endpoint with a name, at a host, or at a URL as calls have it."""
    text = f"endpoints: {{kimi: https://a.b}}\nprices: {{k: {{input: 1, output: 1, endpoint: '{place}'}}}}"
    assert [rule.endpoint for rule in settings(tmp_path, text).prices] == [read]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    """One line says what is wrong, where, and what is allowed; it never quotes a key."""
    with pytest.raises(SettingError) as caught:
        settings(tmp_path, text)
    assert f"config.yaml, {message}" in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_command_does_not_use_cannot_stop_it(tmp_path: Path) -> None:
    """Commands that do not use prices and endpoints ignore mistakes in them."""
    (tmp_path / "config.yaml").write_text("prices: 3\nendpoints: 4", encoding="utf-8")
    assert resolve({}, {"MOONPALACE_HOME": str(tmp_path)}, names=["database"]).prices == ()

"""Tests of which model is asked, with which key, and in which language."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.config_file import exposed_secrets
from moonpalace_addons.settings.values import resolve
from moonpalace_cli.explaining.language import language_of
from moonpalace_cli.explaining.target import Target, find_target

KEY = "sk-of-the-variable"
NONE: Mapping[str, str] = {}
CONFIG = """
endpoints:
  local: http://127.0.0.1:11434
  other: {url: https://llm.example.org/base, key: sk-of-the-endpoint, headers: {X-Team: a}}
"""


def target(
    folder: Path, config: str = "", environ: Mapping[str, str] = NONE, flags: Mapping[str, str] = NONE
) -> Target:
    """Return the target for a config.yaml, variables and flags."""
    file = folder / "config.yaml"
    file.write_text(config or "start: {}", encoding="utf-8")
    variables = {"MOONPALACE_HOME": str(folder), "MOONSHOT_API_KEY": KEY, **environ}
    given = {"endpoint": flags.get("endpoint"), "upstream-proxy": flags.get("proxy")}
    settings = resolve(given, variables, file)
    return find_target(settings, variables, via=flags.get("via"), model=flags.get("model"), key=flags.get("key"))


KIMI_CN, KIMI_AI = "https://api.moonshot.cn", "https://api.moonshot.ai"
CASES: tuple[tuple[str, dict[str, str], tuple[str, str, str | None]], ...] = (
    ("", {}, (KIMI_CN, "kimi-k3", KEY)),
    ("", {"endpoint": KIMI_AI}, (KIMI_AI, "kimi-k3", KEY)),
    ("", {"endpoint": "https://api.openai.com"}, (KIMI_CN, "kimi-k3", KEY)),
    ("", {"key": "sk-flag"}, (KIMI_CN, "kimi-k3", "sk-flag")),
    ("explain: {model: kimi-k2.6, key: sk-config}", {}, (KIMI_CN, "kimi-k2.6", "sk-config")),
    ("explain: {key: sk-config}", {"via": KIMI_AI}, (KIMI_AI, "kimi-k3", KEY)),
    ("explain: {endpoint: 'http://127.0.0.1:11434', model: m}", {}, ("http://127.0.0.1:11434", "m", None)),
    (CONFIG + "explain: {endpoint: local, model: m}", {}, ("http://127.0.0.1:11434", "m", None)),
    (CONFIG + "explain: {endpoint: local, key: k}", {"via": "local"}, ("http://127.0.0.1:11434", "kimi-k3", "k")),
    (CONFIG, {"via": "other", "model": "n"}, ("https://llm.example.org/base", "n", "sk-of-the-endpoint")),
    (
        CONFIG,
        {"via": "https://llm.example.org/base/"},
        ("https://llm.example.org/base", "kimi-k3", "sk-of-the-endpoint"),
    ),
    (CONFIG, {"via": "other", "key": "sk-flag"}, ("https://llm.example.org/base", "kimi-k3", "sk-flag")),
)


@pytest.mark.parametrize(("config", "flags", "expected"), CASES)
def test_who_is_asked(
    tmp_path: Path, config: str, flags: dict[str, str], expected: tuple[str, str, str | None]
) -> None:
    """Flags take precedence over config.yaml; a key is only sent to its endpoint, that of the variable to Kimi."""
    result = target(tmp_path, config, flags=flags)
    assert (result.endpoint.url, result.model, result.endpoint.key) == expected
    assert str(result) == f"{expected[1]} at {expected[0]}"
    assert KEY not in repr(result)


def test_the_outgoing_proxy(tmp_path: Path) -> None:
    """It comes from --upstream-proxy, else the environment, which excludes loopback addresses; `none` disables it."""
    environ = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://proxy:3129"}
    assert target(tmp_path, environ=environ).endpoint.proxy == "http://proxy:3128"
    assert (
        target(tmp_path, environ=environ, flags={"via": "http://llm.example.org"}).endpoint.proxy == "http://proxy:3129"
    )
    assert (
        target(
            tmp_path, environ=environ | {"NO_PROXY": "example.org"}, flags={"via": "http://llm.example.org"}
        ).endpoint.proxy
        is None
    )
    assert target(tmp_path, environ=environ, flags={"via": "http://127.0.0.1:1"}).endpoint.proxy is None
    assert target(tmp_path, environ=environ, flags={"proxy": "http://mine:1"}).endpoint.proxy == "http://mine:1"
    assert target(tmp_path, environ=environ, flags={"proxy": "none"}).endpoint.proxy is None


MISTAKES: tuple[tuple[dict[str, str], str, str], ...] = (
    ({"via": "http://[x"}, "", "flag --via: must be an http:// or https:// URL"),
    ({"via": "https://e.org/v1"}, "", "flag --via: must not end in /v1"),
    ({"via": "ollama"}, CONFIG, "or the name of one of endpoints: in config.yaml (local, other)"),
    ({"key": "sk a"}, "", "flag --key: the value must be ASCII characters without spaces"),
    ({}, "explain: {modle: x}", "line 1: explain.modle is unknown; the closest is model"),
    ({}, "explain: {model: ''}", "explain.model must be the name of a model"),
    ({}, "explain: {tokens: 10}", "explain.tokens must be a whole number of tokens from 1000 to 200000"),
    ({}, "explain: {key: 'a b'}", "explain.key must be ASCII characters"),
    ({}, "explain: {endpoint: 'ftp://x'}", "explain.endpoint must be an http:// or https:// URL"),
    ({}, "explain: yes", "explain must be a mapping with endpoint, model, key and tokens"),
)


@pytest.mark.parametrize(("flags", "config", "words"), MISTAKES)
def test_mistakes_are_named(tmp_path: Path, flags: dict[str, str], config: str, words: str) -> None:
    """An error says where the mistake is and what is allowed, and quotes no key."""
    with pytest.raises(SettingError) as caught:
        target(tmp_path, config, flags=flags)
    assert words in str(caught.value)
    assert "sk a" not in str(caught.value)
    assert "a b" not in str(caught.value)


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    """A config.yaml with a key for explanations is reported like one with another key."""
    file = tmp_path / "config.yaml"
    file.write_text("explain: {key: sk-config}")
    file.chmod(0o644)
    result = exposed_secrets(file)
    assert result is not None
    assert "holds a key that other users can read" in result[0]


LANGUAGES: tuple[tuple[dict[str, str], str], ...] = (
    ({}, "English"),
    ({"LANG": "C.UTF-8"}, "English"),
    ({"LANG": "zh_CN.UTF-8"}, "Chinese (simplified characters)"),
    ({"LANG": "zh-Hant-TW"}, "Chinese (traditional characters)"),
    ({"LANG": "zh_HK.UTF-8@x"}, "Chinese (traditional characters)"),
    ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "de_DE"}, "German"),
    ({"LANG": "de_DE", "LC_ALL": "fr"}, "French"),
    ({"LANG": "xx_YY"}, "English"),
    ({"LANG": "de", "LC_ALL": ""}, "German"),
)


@pytest.mark.parametrize(("environ", "language"), LANGUAGES)
def test_the_language_is_that_of_the_terminal(environ: dict[str, str], language: str) -> None:
    """LC_ALL counts before LC_MESSAGES, and that before LANG; an unknown one is English."""
    assert language_of(environ) == language

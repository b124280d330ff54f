"""Hooks that do nothing with some settings, which our engine then does not call."""

from dataclasses import replace
from typing import Any

import pytest

from moonpalace_addons.access import Access
from moonpalace_addons.calls.call import Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.context_cache import ContextCache
from moonpalace_addons.edit_stream import EditStream
from moonpalace_addons.force_stream import ForceStream
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.routing import Routing
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.values import Settings, resolve

ALL = {
    "Access": {"request"},
    "Routing": {"requestheaders"},
    "ForceStream": {"request"},
    "ContextCache": {"request", "responseheaders", "response"},
    "EditStream": {"responseheaders", "response"},
}


def unneeded(configuration: Configuration) -> dict[str, set[str]]:
    """Return the hooks that each addon can do without."""
    calls = Calls()
    addons = (
        Access(configuration, calls),
        Routing(configuration),
        ForceStream(configuration, calls),
        ContextCache(configuration, calls, Recorder(configuration)),
        EditStream(configuration, calls),
    )
    return {type(addon).__name__: set(addon.unneeded) for addon in addons}


def settings(**given: str) -> Settings:
    """Return settings with some set."""
    return resolve({name.replace("_", "-"): value for name, value in given.items()}, {"MOONPALACE_HOME": "/nowhere"})


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, ()),
        ({"force_stream": "true"}, ("ForceStream", "EditStream")),
        ({"stream_usage": "true"}, ("ForceStream", "EditStream")),
        ({"detect_repeat": "true"}, ("EditStream",)),
        ({"cache_key_hint": "true"}, ("ContextCache",)),
        ({"key": "sk-1"}, ("Access",)),
    ],
)
def test_a_setting_needs_the_hooks_of_its_addons(given: dict[str, str], needed: tuple[str, ...]) -> None:
    """Without a setting nothing is called; with one, all that its addons do is."""
    expected = {name: set() if name in needed else hooks for name, hooks in ALL.items()}
    assert unneeded(Configuration(settings(**given))) == expected


def test_endpoints_with_names_need_routing() -> None:
    """A path may then name one of them."""
    named = replace(settings(), endpoints=(Endpoint("https://api.moonshot.cn", "cn"),))
    assert unneeded(Configuration(named))["Routing"] == set()


@pytest.mark.parametrize("endpoint", [{"key": "sk-1"}, {"headers": (("X-Team", "moon"),)}], ids=["key", "headers"])
def test_an_endpoint_with_credentials_needs_access(endpoint: dict[str, Any]) -> None:
    """Requests to it get them, also if it is not the first one."""
    named = replace(
        settings(), endpoints=(*settings().endpoints, Endpoint("https://api.moonshot.cn", "cn", **endpoint))
    )
    assert unneeded(Configuration(named))["Access"] == set()


def test_a_token_needs_access() -> None:
    """It is taken out of requests, whatever they get instead."""
    assert unneeded(Configuration(replace(settings(), token="t")))["Access"] == set()


def test_caches_need_the_hooks_once_they_are_open() -> None:
    """That is the case before the first call."""
    configuration = Configuration(settings(auto_cache="true"))
    addon = ContextCache(configuration, Calls(), Recorder(configuration))
    assert set(addon.unneeded) == ALL["ContextCache"]
    addon.caches = object()  # type: ignore[assignment]
    assert not addon.unneeded


def test_settings_that_are_not_known_yet() -> None:
    """Mitmproxy reads all attributes of an addon as it loads it, before there are settings."""
    assert unneeded(Configuration()) == ALL

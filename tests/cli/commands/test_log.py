"""Tests of `mpal log`."""

import json
from datetime import timedelta

import pytest

from tests.cli.conftest import Mpal, Store
from tests.exchanges import STARTED

REQUEST = '{"messages": [{"role": "user", "content": "月亮上有什么？"}]}'.encode()


@pytest.fixture
def calls(store: Store) -> Store:
    """Store three calls; the one that began first was stored last."""
    store.add(request=REQUEST)
    store.add(finish_reason="length", started_at=STARTED + timedelta(seconds=1), is_stream=True, latency=2 * 10**9)
    store.add(refused=True, started_at=STARTED - timedelta(seconds=1))
    return store


def test_log(calls: Store, mpal: Mpal) -> None:
    """The newest call by the time of its request is last, described in a line; with its date if it is past."""
    assert mpal("log").out.splitlines() == [
        "11-23 01:27:01 #3 kimi-k3 connect 1ms",
        '11-23 01:27:02 #1 kimi-k3 stop 11→7 1ms "月亮上有什么？"',
        "11-23 01:27:03 #2 kimi-k3 stream cut by max_tokens 11→7 2.0s",
    ]
    assert mpal("log", "-n", "1", "--failed").out.startswith("11-23 01:27:01 #3 ")
    assert [json.loads(line)["id"] for line in mpal("log", "--json").out.splitlines()] == [3, 1, 2]


def test_nothing(calls: Store, mpal: Mpal) -> None:
    """If no call matches, a message says so, outside of the output."""
    result = mpal("log", "--status", "500")
    assert (result.code, result.out, result.err) == (0, "", "no calls match\n")


def test_empty_store(store: Store, mpal: Mpal) -> None:
    """Every command describes an empty store in the same words."""
    message = "no call is stored yet: run mpal start and make a call through it\n"
    assert (mpal("log").err, mpal("log", "-o", "json").out) == (message, "[]\n")
    for command in ("show", "show 13", "why", "inspect --last", "cache why", "export --all", "label --last"):
        assert mpal(*command.split()).err == f"Error: {message}"


def test_following(calls: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """-f prints calls as they end, until it is interrupted; filters apply."""
    reasons = iter(["length", "stop"])

    def sleep(_: float) -> None:
        if (reason := next(reasons, None)) is None:
            raise KeyboardInterrupt
        calls.add(finish_reason=reason)

    monkeypatch.setattr("moonpalace_cli.views.listing.actions.time.sleep", sleep)
    result = mpal("log", "-f", "--cut")
    assert result.code == 130
    assert [line.split()[2] for line in result.out.splitlines()] == ["#2", "#4"]

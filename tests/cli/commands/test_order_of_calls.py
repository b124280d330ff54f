"""Tests that "newest" and "last" refer to the time of the request in every command, whatever the row number."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from moonpalace_addons.store.read.conversations import earlier_calls
from moonpalace_addons.store.read.following import Follower
from moonpalace_addons.store.records.exchanges import Exchange
from tests.cli.conftest import Mpal, Outcome, Store
from tests.exchanges import STARTED

MINUTES = (5, 5, 9, 1, 3)
"""When the calls with the numbers from 1 on began: the last two were imported, the first two began together."""
NEWEST_FIRST = [3, 2, 1, 5, 4]

type Run = Mpal


@pytest.fixture
def calls(store: Store) -> Store:
    """Store the calls, each a turn of one conversation."""
    for number, minutes in enumerate(MINUTES, 1):
        messages = [{"role": "user", "content": f"turn {turn}"} for turn in range(number)]
        store.add(
            started_at=STARTED + timedelta(minutes=minutes),
            request=json.dumps({"model": "kimi-k3", "messages": messages}).encode(),
            response=b"{}",
            chatcmpl_id="chatcmpl-the-same",
            latency=number,
        )
    return store


def numbers(outcome: Outcome, name: str = "id") -> list[int]:
    """Return the numbers of the calls in lines of JSON."""
    assert outcome.code == 0, outcome.err
    return [int(json.loads(line)[name]) for line in outcome.out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], NEWEST_FIRST),
        (["-n", "2"], NEWEST_FIRST[:2]),
        (["--since", "2026-11-22T17:30:00+00:00"], NEWEST_FIRST[:4]),
        (["--chatonly", "-n", "4"], NEWEST_FIRST[:4]),
        (["-p", "status == 200", "-n", "2"], NEWEST_FIRST[:2]),
        (["-p", "request_body.messages.0.content == 'turn 0'", "-n", "2"], NEWEST_FIRST[:2]),
        (["-p", "text ~ 'turn'", "-n", "2"], NEWEST_FIRST[:2]),
        (["-p", "model == 'kimi-k3'", "-n", "2"], NEWEST_FIRST[:2]),
        (["--sort", "model"], NEWEST_FIRST),
        (["--sort", "requested_at"], NEWEST_FIRST[::-1]),
        (["--sort", "-requested_at"], NEWEST_FIRST),
        (["--sort", "-id"], [5, 4, 3, 2, 1]),
    ],
)
def test_list(calls: Store, mpal: Run, arguments: Sequence[str], expected: Sequence[int]) -> None:
    """The newest calls are those whose requests began last; of equal ones, the newest row comes first."""
    assert numbers(mpal("list", "--json", *arguments)) == expected


def test_stats_of_the_newest(calls: Store, mpal: Run) -> None:
    """`--stats -n` sums the calls that began last."""
    times = json.loads(mpal("list", "--stats", "-n", "1", "--json").out)["latency_ms"]
    assert times["p50"] == round(NEWEST_FIRST[0] / 1e6, 3)


def test_following(calls: Store) -> None:
    """`--watch` begins with the newest calls, in order of time."""
    with Follower(calls.engine) as follower:
        assert [call.id for call in follower.earlier(2)] == NEWEST_FIRST[1::-1]


def test_inspect(calls: Store, mpal: Run) -> None:
    """The last call, and the newest of several with one identifier, is the one that began last."""
    assert json.loads(mpal("inspect", "--last", "--json").out)["exchange"]["id"] == NEWEST_FIRST[0]
    result = mpal("inspect", "--chatcmpl", "chatcmpl-the-same", "--json")
    assert json.loads(result.out)["exchange"]["id"] == NEWEST_FIRST[0]
    assert result.err == "5 calls match; this is the newest, 3; the others: 2, 1, 5, 4\n"


@pytest.mark.parametrize("last", [1, 2, 4])
def test_export_and_label(calls: Store, mpal: Run, last: int) -> None:
    """`--last N` selects those that began last; exports are oldest first."""
    exported = mpal("export", "--last", str(last), "--format", "jsonl")
    results = [int(json.loads(line)["metadata"]["moonpalace_id"]) for line in exported.out.splitlines()]
    assert results == NEWEST_FIRST[:last][::-1]
    assert mpal("label", "--last", str(last), "--good").code == 0
    assert numbers(mpal("list", "--json", "-p", "category == 'goodcase'")) == NEWEST_FIRST[:last]


def test_cleanup(calls: Store, mpal: Run) -> None:
    """`--keep-last` keeps those that began last."""
    assert mpal("cleanup", "--keep-last", "2").code == 0
    assert numbers(mpal("list", "--json")) == NEWEST_FIRST[:2]


def test_cache_why(calls: Store, mpal: Run, exchange: Callable[..., Exchange]) -> None:
    """A call continues one that began before it: of those that began together, one with a smaller number."""
    why = json.loads(mpal("cache", "why", "--id", "1", "--json").out)
    assert why["earlier_id"] == 5
    asked = exchange(id=2, started_at=STARTED + timedelta(minutes=5))
    assert [call.id for call in earlier_calls(calls.engine, asked, limit=50)] == [1, 5, 4]


@pytest.mark.filterwarnings("error")
def test_a_path_without_a_face(calls: Store, exchange: Callable[..., Exchange]) -> None:
    """A call to an endpoint with unknown prompts continues none."""
    asked = exchange(id=9, path="/v1/models", started_at=STARTED + timedelta(minutes=9))
    assert earlier_calls(calls.engine, asked, limit=50) == []


def test_imported_calls(calls: Store, mpal: Run, tmp_path: Path) -> None:
    """Calls imported from another store have new numbers and their place in time."""
    other = str(tmp_path / "other.sqlite")
    calls.add(started_at=STARTED - timedelta(days=900), request=b"{}")
    assert mpal("import", str(tmp_path / "home" / "moonpalace.sqlite"), "--database", other).code == 0
    assert mpal("import", other).code == 0
    assert numbers(mpal("list", "--json", "--database", other)) == [*NEWEST_FIRST, 6]
    assert mpal("import", "tests/data/go-v0.12/moonpalace.sqlite").code == 0
    assert numbers(mpal("list", "--json", "-n", "5")) == NEWEST_FIRST
    assert numbers(mpal("list", "--json", "-n", "1", "--sort", "requested_at")) == [6]

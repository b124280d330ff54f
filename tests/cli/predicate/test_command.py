"""Tests of `mpal predicate`, and of how `mpal list` reports mistakes."""

import pytest

from moonpalace_addons.store.query.explaining import index_in
from moonpalace_addons.store.upkeep.indexing import catch_up
from moonpalace_addons.store.upkeep.search_blocks import BLOCK_SIZE
from tests.cli.conftest import Mpal, Store

EXPLAINED = """\
Predicate:
  or
    and
      status == 429
      not
        tags is there
    state @ ['timed_out', 'it\\'s']
SQL:
  SELECT exchanges.id
  FROM exchanges
  WHERE exchanges.status_code = ? AND coalesce(exchanges.id IN (SELECT exchange_tags.exchange_id
  FROM exchange_tags), 0) = 0 OR exchanges.state = ? OR exchanges.state = ? ORDER BY \
exchanges.started_at DESC, exchanges.id DESC
  LIMIT ? OFFSET ?
Values:
  429, 'timed_out', "it's", 10, 0
"""


def test_explanation(store: Store, mpal: Mpal) -> None:
    """A predicate is explained: its tree, its SQL with the values, and the database's plan."""
    store.add()
    result = mpal("predicate", "status == 429 && !tags || state @ [\"timed_out\", 'it\\'s']")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(EXPLAINED)
    assert "\nPlan:\n" in result.out


SERVED = [
    ("status == 429", "exchanges_status_code"),
    ("request_body.model == 'a' || request_body.model == 'b'", "exchanges_model_requested"),
    ("response_body.choices.0.finish_reason == 'length'", "exchanges_finish_reason"),
    ("response_body.usage.total_tokens == 5", "exchanges_total_tokens"),
    ("request_body.stream == true", "exchanges_stream_requested"),
    ("tags == 'x'", "exchange_tags_tag"),
    ("chatcmpl == 'x'", "exchanges_chatcmpl_id"),
    ("id == 5", "the ids"),
    ("requested_at > -2h", "exchanges_started_at"),
]

SCAN = "->  Index Scan Backward using {} on exchanges  (cost=0.29..5357.29 rows=97937 width=16)"
ON_POSTGRESQL = [
    ([SCAN.format("exchanges_started_at"), "Filter: (status_code = '200'::bigint)"], None),
    ([SCAN.format("exchanges_started_at")], None),
    ([SCAN.format("exchanges_started_at"), "Index Cond: (started_at >= '1'::bigint)"], "exchanges_started_at"),
    ([SCAN.format("exchanges_status_code"), "Index Cond: (status_code = '429'::bigint)"], "exchanges_status_code"),
    (["->  Seq Scan on exchanges  (cost=0.00..3750.00 rows=1 width=16)", "Filter: (latency > '3'::bigint)"], None),
]
"""Lines of plans for the newest calls, and the index in them."""


@pytest.mark.parametrize(("steps", "index"), ON_POSTGRESQL)
def test_index_on_postgresql(steps: list[str], index: str | None) -> None:
    """An index that only returns the calls in order of time does not count."""
    assert index_in(["Limit  (cost=0.36..1.34 rows=10 width=16)", *steps]) == index


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("text", "index"), SERVED)
def test_index(mpal: Mpal, text: str, index: str) -> None:
    """The index used is named."""
    last = mpal("predicate", text).out.splitlines()[-1]
    assert last.startswith(f"Index: {index}")


@pytest.mark.parametrize(
    "text", ["request_body.messages.-1.role == 'tool'", "text ~ 'x'", "model % 'x'", "not id == 5"]
)
def test_no_index(mpal: Mpal, text: str) -> None:
    """If all calls are scanned, it says so; no store is needed."""
    result = mpal("predicate", text)
    assert result.out.splitlines()[-1] == "Index: none; calls are read from the newest until enough are found"


def test_search(store: Store, mpal: Mpal) -> None:
    """For each search it says how many calls are read, as far as the word index helps."""
    for _ in range(2 * BLOCK_SIZE):
        store.add()
    lines = mpal("predicate", "text ~ 'nowhere' || not text ~ 'no where'").out.splitlines()
    searches = [f"Search: '{sought}': all calls are read" for sought in ("nowhere", "no where")]
    assert lines[-3:-1] == searches
    catch_up(store.engine)
    last = mpal("predicate", "text ~ 'nowhere'").out.splitlines()[-2:]
    assert last[0] == "Search: 'nowhere': 1 of 128 calls are read; the index of words rules out the others"
    assert last[1].startswith("Index: ")


def test_long_values(store: Store, mpal: Mpal) -> None:
    """The middle of a very long value is left out."""
    store.add()
    (line,) = (
        line
        for line in mpal("predicate", f"request_path == '{'x' * 5000}'").out.splitlines()
        if line.startswith("  'x")
    )
    assert 1000 < len(line) < 1100
    assert " … " in line


def test_postgresql(mpal: Mpal, postgres_url: str) -> None:
    """A predicate is explained for PostgreSQL as well."""
    result = mpal("predicate", "--database", postgres_url, "status == 429 && text ~ 'x'")
    assert (result.code, result.err) == (0, "")
    assert "exchanges" in result.out.partition("\nPlan:\n")[2]


@pytest.mark.parametrize("command", [["predicate"], ["list", "-p"], ["list", "--count", "-p"]])
def test_mistake(store: Store, mpal: Mpal, command: list[str]) -> None:
    """A mistake is one line, with the text and a caret below it, and exit code 2."""
    result = mpal(*command, "名 == 1 && stat == 2")
    assert result.code == 2
    assert result.out == ""
    assert result.err.splitlines() == [
        "Error: predicate: there is no field 名; fields are status, state, model, request_body.…, response_body.…,"
        " tags, text, latency and others",
        "  名 == 1 && stat == 2",
        "  ^",
    ]


def test_list(store: Store, mpal: Mpal) -> None:
    """`mpal list` lists the calls that match all predicates, newest first."""
    for status in (200, 429, 500):
        store.add(status_code=status)
    assert mpal("list", "-p", "status > 200", "-p", "status < 500", "--count").out == "1\n"
    rows = mpal("list", "--predicate", "status == 200 || status == 500", "--json").out.splitlines()
    assert [row.split(",")[0] for row in rows] == ['{"id": 3', '{"id": 1']

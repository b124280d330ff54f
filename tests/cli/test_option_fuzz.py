"""Any options of `list` and `inspect` give a result, or a one-line error."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonpalace_addons.store.records import labels
from moonpalace_addons.store.tasks import State
from moonpalace_cli.views.listing.columns import BY_NAME
from tests.cli.conftest import Mpal, Outcome, Store

type Arguments = st.SearchStrategy[list[str]]

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
"""Values on a command line."""
NUMBERS = st.integers(-2, 2**70).map(str) | st.sampled_from(["1", "2", "3", "x", "", "1.5"])
COLUMNS = st.lists(st.sampled_from(list(BY_NAME)) | TEXTS, min_size=1, max_size=4).map(",".join)
ORDERS = (st.sampled_from(list(BY_NAME)) | TEXTS).flatmap(lambda name: st.sampled_from([name, f"-{name}"]))
TIMES = st.sampled_from(["-2h", "-0s", "2026-11-23", "today", "21:30", "-99999w", "9999-12-31", "0001-01-01"]) | TEXTS
PREDICATES = st.sampled_from(["id > 1", "status >= 400", "tags == 'code'", "model ~ 'k3' &&", "(", "latency"]) | TEXTS
PARTS = st.lists(st.sampled_from(["metadata", "request_body", "response_body", "error", "nope"]), max_size=3)


def option(name: str, values: st.SearchStrategy[str]) -> Arguments:
    """Give an option with a value."""
    return values.map(lambda value: [name, value])


def flags(*names: str) -> Arguments:
    """Give one of the options without a value."""
    return st.sampled_from(names).map(lambda name: [name])


def lines(*options: Arguments) -> Arguments:
    """Give some of the options in any order."""
    return st.lists(st.one_of(*options), max_size=4).map(lambda found: [word for words in found for word in words])


LIST = lines(
    option("-n", NUMBERS),
    option("--columns", COLUMNS),
    option("--sort", ORDERS),
    option("--since", TIMES),
    option("-p", PREDICATES),
    flags("-v", "--chatonly", "--json", "--count", "--stats", "--watch", "--escape-html", "--redact", "--last"),
)
INSPECT = lines(
    option("--id", NUMBERS),
    option("--chatcmpl", TEXTS),
    option("--requestid", TEXTS),
    option("--print", PARTS.map(",".join) | TEXTS),
    flags("--last", "--chat", "--timeline", "--json", "--no-pager", "--all-events"),
    flags("--print-request", "--print-response", "--merge-event-stream"),
).map(lambda words: words if {"--id", "--chatcmpl", "--requestid"} & {*words} else [*words, "--last"])

QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def calls(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Store calls of every kind; interrupt a watch in its first pause."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    monkeypatch.chdir(tmp_path)
    messages = {"messages": [{"role": "user", "content": "你好"}], "model": "kimi-k3"}
    store.add(request=json.dumps(messages).encode(), response=b'{"choices": [{"message": {"content": "hi"}}]}')
    store.add(refused=True, response=None, request=b"\x01\x00")
    events = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
    store.add(events=events * 60, chunks=[(len(events), 5), (60 * len(events), 10**9)], is_stream=True)
    store.add(refused=True, state=State.IN_FLIGHT, response=None)
    labels.change(store.engine, [1], labels.Change(category="goodcase", tag=("code",), note="\x1b[2J"))


def check(outcome: Outcome) -> None:
    """Check for a result, or one line that says what is wrong (with a caret under it for predicates)."""
    assert outcome.code in (0, 1, 2, 130), outcome
    assert "Traceback" not in outcome.err
    assert "unexpected" not in outcome.err
    if outcome.code in (1, 2):
        first, *rest = outcome.err.splitlines()
        assert first.startswith("Error: ")
        assert not rest or first.startswith("Error: predicate: ")
        assert outcome.out == ""


@QUICK
@given(LIST)
def test_list(calls: None, mpal: Mpal, arguments: list[str]) -> None:
    """Any options of list give a result or a one-line error."""
    check(mpal("list", *arguments))


@QUICK
@given(INSPECT)
def test_inspect(calls: None, mpal: Mpal, arguments: list[str]) -> None:
    """Any options of inspect give a result or a one-line error."""
    check(mpal("inspect", *arguments))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(list(BY_NAME)), min_size=1, max_size=len(BY_NAME)))
def test_any_columns(calls: None, mpal: Mpal, names: list[str]) -> None:
    """Any columns can be shown together, as a table and as JSON."""
    joined = ",".join(names)
    assert mpal("list", "--columns", joined).code == 0
    rows = mpal("list", "--columns", joined, "--json").out.splitlines()
    assert [list(json.loads(row)) for row in rows] == [list(dict.fromkeys(names))] * 4

"""Tests that a name means the same to `mpal list --columns` and to predicates."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.records.labels import Change, change
from moonpalace_addons.store.tasks import State
from moonpalace_cli.views.listing.columns import BY_NAME
from tests.cli.conftest import STARTED

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome, Store

DURATIONS = ("time_to_first_token", "time_to_first_visible_token", "time_per_output_token", "longest_stall")
TIMES = {name: 3_000_000 + number for number, name in enumerate((*DURATIONS, "gap_p50", "gap_p90", "gap_p99"))}
COUNTS = {name: number for number, name in enumerate(("cached_tokens", "reasoning_tokens", "cache_tokens"))}
TEXTS = ("client_request_id", "key_fingerprint", "context_cache_id", "cache_outcome", "category", "query")
CALLS: list[dict[str, object]] = [
    {"finish_reason": "length", "is_stream": True, "is_coerced": True, "model_answered": "kimi-k3-0905"}
    | dict(TIMES)
    | COUNTS
    | {"warnings": ("events: 3", 'it\'s "odd" \\ 月'), "changes": ("stream: true",)}
    | {name: f"the {name}"[:16] for name in TEXTS},
    {"refused": True, "started_at": STARTED + timedelta(hours=1)},
    {"error_kind": "engine_overloaded_error", "error_message": "try again", "status_code": 429},
    {"error_kind": "server_error", "error_message": None},
    {"error_kind": None, "error_message": "it broke", "state": State.TIMED_OUT},
    {"state": State.CLIENT_DISCONNECTED, "status_code": None, "endpoint": "http://127.0.0.1:9/", "path": "/v1/models"},
    {"state": State.IN_FLIGHT, "note": 'it\'s "odd" \\ 月'},
]

type Run = Callable[..., Outcome]


@pytest.fixture
def calls(store: Store) -> Store:
    """Store calls that differ in every column."""
    for number, values in enumerate(CALLS):
        content = json.dumps({"messages": [{"content": f"call {number}"}]}).encode()
        store.add(request=content, response=content, **values)  # type: ignore[arg-type]
    change(store.engine, [1], Change(tag=("a", "b")))
    change(store.engine, [2], Change(tag=("b",)))
    return store


def literal(name: str, value: object) -> str:
    """Return a value that --json shows as predicates write it."""
    if FIELDS[name].kind == "json":
        value = json.dumps(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return "'" + escaped.replace("\r", "\\r").replace("\n", "\\n") + "'"
    return "NULL" if value is None else json.dumps(value)


def found(mpal: Run, predicate: str) -> list[int]:
    """Return the calls for which a predicate holds, oldest row first."""
    outcome = mpal("list", "--json", "--columns", "id", "--sort", "id", "-p", predicate)
    assert outcome.code == 0, outcome.err
    return [json.loads(line)["id"] for line in outcome.out.splitlines()]


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_name_means_the_same(calls: Store, mpal: Run, name: str) -> None:
    """What a column shows of calls is what a predicate finds these calls by, what it leaves empty is NULL."""
    lines = mpal("list", "--json", "--columns", f"id,{name}").out.splitlines()
    shown = {call["id"]: call[name] for call in map(json.loads, lines)}
    assert len(shown) == len(CALLS)
    values = {json.dumps(value): value for value in shown.values()}
    for value in values.values():
        alike = sorted(row_id for row_id, other in shown.items() if other == value)
        if isinstance(value, list):
            for each in value:
                having = sorted(row_id for row_id, texts in shown.items() if each in texts)
                assert found(mpal, f"{name} == {literal(name, each)}") == having
        else:
            assert found(mpal, f"{name} == {literal(name, value)}") == alike, value


@pytest.mark.parametrize("name", sorted(name for name, field in FIELDS.items() if field.kind in ("text", "headers")))
def test_text_is_found_as_it_is_shown(calls: Store, mpal: Run, name: str) -> None:
    """A piece from within a cell of a table is found by `~`."""
    lines = mpal("list", "--json", "--columns", f"id,{name}").out.splitlines()
    for call in map(json.loads, lines):
        if isinstance(call[name], str) and len(call[name]) > 2:
            piece = call[name][1:-1].replace("\\", "\\\\\\\\").replace("%", "\\\\%").replace("_", "\\\\_")
            assert call["id"] in found(mpal, f"{name} ~ {literal(name, piece).replace('\\\\\\\\', '\\\\')}")

"""Tests that a name means the same in `mpal list --columns` and in predicates."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.records.labels import Change, change
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import State
from moonpalace_cli.main import main
from moonpalace_cli.views.listing.columns import BY_NAME
from tests.cli.conftest import Store
from tests.exchanges import STARTED

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


@dataclass(frozen=True)
class Listed:
    """A store with calls, and their columns in `mpal list`."""

    engine: Engine
    calls: list[dict[str, Any]]

    def found(self, predicate: str) -> list[int]:
        """Return the calls that match a predicate, oldest row first."""
        query = select(EXCHANGES.c.id).where(condition([predicate], self.engine)).order_by(EXCHANGES.c.id)
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Listed]:
    """Store calls that differ in every column, and list them with all columns."""
    file = Path(shutil.copyfile(empty_store, tmp_path_factory.mktemp("columns") / "moonpalace.sqlite"))
    engine = open_store(f"sqlite:///{file}")
    store = Store(engine)
    for number, values in enumerate(CALLS):
        content = json.dumps({"messages": [{"content": f"call {number}"}]}).encode()
        store.add(request=content, response=content, **values)  # type: ignore[arg-type]
    change(engine, [1], Change(tag=("a", "b")))
    change(engine, [2], Change(tag=("b",)))
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(written):
        assert main(["list", "--database", str(file), "--json", "--columns", ",".join(BY_NAME)]) == 0
    written.seek(0)
    calls = list(map(json.loads, written))
    assert len(calls) == len(CALLS)
    yield Listed(engine, calls)
    engine.dispose()


def literal(name: str, value: object) -> str:
    """Return a value of --json as a literal of predicates."""
    if FIELDS[name].kind == "json":
        value = json.dumps(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return "'" + escaped.replace("\r", "\\r").replace("\n", "\\n") + "'"
    return "NULL" if value is None else json.dumps(value)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_name_means_the_same(listed: Listed, name: str) -> None:
    """A predicate with a column's value finds exactly these calls; an empty value is NULL."""
    shown = {call["id"]: call[name] for call in listed.calls}
    values = {json.dumps(value): value for value in shown.values()}
    for value in values.values():
        alike = sorted(row_id for row_id, other in shown.items() if other == value)
        if isinstance(value, list):
            for each in value:
                having = sorted(row_id for row_id, texts in shown.items() if each in texts)
                assert listed.found(f"{name} == {literal(name, each)}") == having
        else:
            assert listed.found(f"{name} == {literal(name, value)}") == alike, value


@pytest.mark.parametrize("name", sorted(name for name, field in FIELDS.items() if field.kind in ("text", "headers")))
def test_text_is_found_as_it_is_shown(listed: Listed, name: str) -> None:
    """A part of a table's cell is found by `~`."""
    for call in listed.calls:
        if isinstance(call[name], str) and len(call[name]) > 2:
            piece = call[name][1:-1].replace("\\", "\\\\\\\\").replace("%", "\\\\%").replace("_", "\\\\_")
            assert call["id"] in listed.found(f"{name} ~ {literal(name, piece).replace('\\\\\\\\', '\\\\')}")

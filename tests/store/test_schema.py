"""Tests that the tables in the code match the migrations, and tests of the documented view."""

import json
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, column, insert, inspect, make_url, table, text

from moonpalace_addons.store.database.engine import make_engine, migrate, writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.revision import REVISION
from moonpalace_addons.store.schema import METADATA
from moonpalace_addons.store.tasks import State
from tests.batches import Batch
from tests.tasks import ended, request_read, response_started

DOCUMENTED = [
    *("id", "request_method", "request_path", "request_query", "request_content_type", "request_id", "moonshot_id"),
    *("moonshot_gid", "moonshot_uid", "moonshot_request_id", "moonshot_server_timing", "response_status_code"),
    *("response_content_type", "request_header", "request_body", "response_header", "response_body", "error"),
    *("response_ttft", "response_tpot", "response_otps", "latency", "endpoint", "created_at"),
]


def view(engine: Engine, columns: str = "*") -> dict[str, object]:
    with engine.connect() as connection:
        return dict(connection.execute(text(f"SELECT {columns} FROM moonshot_requests")).mappings().one())


def test_the_migrations_make_the_tables_of_the_schema(engine: Engine) -> None:
    """Alembic finds no difference between the migrated store and the tables, in columns, types, keys or indexes."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_deletes_cascade_in_the_store_as_in_the_schema(engine: Engine) -> None:
    """All rows of a call are deleted with it, which Alembic does not compare on SQLite."""
    found = inspect(engine)
    for name in ("exchange_tags", "event_streams", "response_segments", "explanations"):
        (key,) = found.get_foreign_keys(name)
        assert key["options"] == {"ondelete": "CASCADE"}
        assert (key["constrained_columns"], key["referred_table"]) == (["exchange_id"], "exchanges")


def test_the_revision_is_the_last_migration() -> None:
    """The code's revision is the last migration, with a single line of migrations."""
    scripts = ScriptDirectory("addons/moonpalace_addons/store/migrations")
    assert scripts.get_heads() == [REVISION]


def test_an_older_store_is_migrated_with_what_it_holds(tmp_path: Path) -> None:
    """A store of the first revision is migrated when it is opened; its contents are shown as before."""
    file = tmp_path / "old.sqlite"
    engine = make_engine(make_url(f"sqlite:///{file}"))
    with writing(engine) as connection:
        migrate(connection, "0001")
        connection.execute(text("INSERT INTO runs VALUES ('r', 'h', 1, '0', 0, 0, 0)"))
        row = {"uuid": "u", "run_id": "r", "state": "completed", "started_at": 0, "method": "POST", "endpoint": "e"}
        row |= {"path": "/", "query": "", "request_headers": "A: b", "request_bytes": 0, "response_headers": "C: d"}
        row |= {"is_stream": False, "is_coerced": False}
        connection.execute(insert(table("exchanges", *map(column, row))), [row])
        before = dict(connection.execute(text("SELECT * FROM moonshot_requests")).mappings().one())
    engine.dispose()
    engine = open_store(f"sqlite:///{file}")
    assert view(engine) == before
    assert before["response_header"] == "C: d"
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_the_view_begins_with_the_documented_columns(engine: Engine) -> None:
    """The view has the original's columns in their order, followed by ours."""
    columns = [column["name"] for column in inspect(engine).get_columns("moonshot_requests")]
    assert columns[: len(DOCUMENTED)] == DOCUMENTED


@pytest.mark.usefixtures("shanghai")
def test_the_view_has_the_documented_units(engine: Engine, run_id: str) -> None:
    """Latency is in nanoseconds, time to first token in milliseconds, the time of the call local, bodies readable."""
    delta = b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n'
    usage = b'data: {"choices": [], "usage": {"completion_tokens": 3}}\n\n'
    call = request_read(query="a=b&key=hidden")
    answer = response_started(call, [delta % b"a", delta % b"b", delta % b"c", usage], content_type="text/event-stream")
    batch = Batch(run_id, b"k" * 32)
    batch.plan([call, answer, ended(call)], keep=False)
    with writing(engine) as connection:
        batch.store(connection)
    row = view(engine)
    assert json.loads(str(row.pop("response_body")))["choices"][0]["message"]["content"] == "abc"
    assert row.pop("request_body") == call.body.decode()
    assert {name: row[name] for name in DOCUMENTED if name in row} == {
        "id": 1,
        "request_method": "POST",
        "request_path": "/v1/chat/completions",
        "request_query": "a=b&key=***",
        "request_content_type": "application/json",
        "request_id": "client-1",
        "moonshot_id": None,
        "moonshot_gid": "g",
        "moonshot_uid": "u",
        "moonshot_request_id": "req-1",
        "moonshot_server_timing": 101,
        "response_status_code": 200,
        "response_content_type": "text/event-stream",
        "request_header": call.headers,
        "response_header": answer.headers,
        "error": None,
        "response_ttft": 2,
        "response_tpot": 1,
        "response_otps": 750.0,
        "latency": 9_000_000,
        "endpoint": "https://api.moonshot.cn",
        "created_at": "2026-11-23 01:27:02",
    }


@pytest.mark.parametrize("body", [b"\xff\xfe\x00binary", b"text with \x00 in it", b"\x89PNG"])
def test_a_binary_body_is_null_in_the_view(engine: Engine, run_id: str, body: bytes) -> None:
    """A body that is not text is NULL instead of broken text."""
    batch = Batch(run_id, b"k" * 32)
    batch.plan([request_read(body=body)], keep=False)
    with writing(engine) as connection:
        batch.store(connection)
    assert view(engine, "request_body, response_body") == {"request_body": None, "response_body": None}


@pytest.mark.parametrize(("state", "error"), [(State.COMPLETED, None), (State.UPSTREAM_FAILED, "refused")])
def test_the_view_shows_why_a_call_failed(engine: Engine, run_id: str, state: State, error: str | None) -> None:
    """The column `error` describes failed calls, and is NULL for others, as in the original."""
    call = request_read()
    batch = Batch(run_id, b"k" * 32)
    batch.plan([call, ended(call, state=state, error_message="refused")], keep=False)
    with writing(engine) as connection:
        batch.store(connection)
    assert view(engine, "error") == {"error": error}

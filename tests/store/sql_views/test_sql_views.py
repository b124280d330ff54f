"""The views for other programs: the same columns and rows on both databases, whatever the store contains."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from moonpalace_addons.store.database.engine import make_engine, migrate, parse_url, writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.field import NANOSECOND, Field, Kind
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.sql_views.calls import expression
from moonpalace_addons.store.sql_views.columns import CALLS, COLUMNS, EVENTS, MESSAGES, Column
from moonpalace_addons.store.sql_views.making import drop_views, make_views
from tests.store.added import MOMENT, Add

GUIDES = Path(__file__).parents[3] / "examples" / "guide"

type Row = Mapping[str, object]

CALL_COLUMNS = """
id uuid requested_at requested_at_us method url endpoint endpoint_name path query model model_requested model_answered
stream coerced changes purpose key_fingerprint client_request_id session request_content_type request_bytes status state
error error_kind error_message warnings finish_reason chatcmpl request_id user_id group_id content_type response_bytes
requests_left tokens_left retry_after_ms prompt_tokens completion_tokens tokens cached_tokens reasoning_tokens
cache_write_tokens cache_write_1h_tokens service_tier cache_outcome cache_tokens context_cache_id cost cost_input
cost_cached cost_output cost_currency cost_saved price_input price_cached reported_cost latency_ms ttft_ms
time_to_first_visible_token_ms time_to_headers_ms tpot_ms otps longest_stall_ms gap_p50_ms gap_p90_ms gap_p99_ms
server_timing overhead_ms category tags note
"""
"""The columns of `calls` on which others rely: new ones may be added, none may be removed or renamed."""


def rows(engine: Engine, query: str) -> Sequence[Row]:
    """Return the rows of a query."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


@pytest.mark.parametrize("view", COLUMNS)
def test_the_views_have_the_documented_columns(engine: Engine, view: str) -> None:
    """A new store has each view with the columns of the table, in their order."""
    names = [column["name"] for column in inspect(engine).get_columns(view)]
    assert names == [column.name for column in COLUMNS[view]]


def test_no_column_of_calls_is_lost() -> None:
    """Published names are kept."""
    assert set(CALL_COLUMNS.split()) <= {column.name for column in COLUMNS[CALLS]}


@pytest.mark.parametrize("folder", [GUIDES, GUIDES / "zh"], ids=["English", "Chinese"])
def test_every_column_is_documented(folder: Path) -> None:
    """The guides name each column of each view in order, and no other; tests/test_docs.py compares the meanings."""
    text = (folder / "sql.md").read_text()
    for view, columns in COLUMNS.items():
        section = next(each for each in text.split("\n## ")[1:] if each.startswith(f"`{view}`"))
        cells = [line.split("|")[1] for line in section.split("\n") if line.startswith("| `")]
        assert [name for cell in cells for name in cell.split("`")[1::2]] == [column.name for column in columns]


@pytest.mark.parametrize(
    ("kind", "unit", "sql", "expected"),
    [
        ("whole", None, "40 + 2", 42),
        ("decimal", None, "40 + 2", 42.0),
        ("text", None, "40 + 2", "42"),
        ("truth", None, "2 > 1", True),
        ("whole", NANOSECOND, "1500000", 1.5),
    ],
)
def test_derived_fields(engine: Engine, kind: Kind, unit: int | None, sql: str, expected: object) -> None:
    """A derived field has the type of its kind; a derived duration is also in milliseconds."""
    column = Column("derived", "", Field("", "", "derived", kind, sql=sql, unit=unit))
    (row,) = rows(engine, f"SELECT {expression(column, engine.dialect.name)} AS found")
    assert (row["found"], isinstance(row["found"], str)) == (expected, isinstance(expected, str))


def test_calls_show_what_the_catalogue_shows(engine: Engine, add: Add) -> None:
    """Each column has the value of its field: durations in milliseconds, moments in UTC, lists as JSON."""
    whole = {"prompt_tokens": 11, "completion_tokens": 7, "cached_tokens": 5, "request_bytes": 97, "server_timing": 101}
    texts = {"model_requested": "kimi-k3", "session": "s-1", "error_kind": "e", "error_message": "it's", "query": "a=b"}
    times = {"latency": 1_500_000, "time_to_first_token": 250_000, "longest_stall": 3_000_000, "retry_after": 2 * 10**9}
    money = {"cost": 0.5, "price_input": 4.0, "price_cached": 1.0, "cost_currency": "USD"}
    lists = {"warnings": '["one", "two"]', "changes": "[]"}
    add(**whole, **texts, **times, **money, **lists, is_stream=True, status_code=200)
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO exchange_tags VALUES (1, 'b'), (1, 'a')"))
    (row,) = rows(engine, "SELECT * FROM calls")
    (call,) = exchanges.latest(engine, limit=1)
    for column in COLUMNS[CALLS]:
        field, value = column.field, row[column.name]
        assert field is not None
        if field.kind in ("set", "moment"):
            continue
        wanted = field.of(call)
        if column.name.endswith("_ms") and isinstance(wanted, int):
            wanted /= 1_000_000
        assert value == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), column.name
    assert (row["latency_ms"], row["retry_after_ms"]) == (1.5, 2000.0)
    listed = [json.loads(value) if isinstance(value, str) else value for value in (row["tags"], row["warnings"])]
    assert listed == [["a", "b"], ["one", "two"]]
    assert row["changes"] is None
    began = row["requested_at"]
    assert (datetime.fromisoformat(began) if isinstance(began, str) else began) == MOMENT
    assert row["requested_at_us"] == int(MOMENT.timestamp()) * 10**6
    assert str(began).endswith(("Z", "+00:00")) or not isinstance(began, str)


def test_events_are_the_moments_of_a_call(engine: Engine, add: Add) -> None:
    """Each known moment is a row, with the time that had passed."""
    add(time_to_headers=2_000_000, time_to_first_token=3_000_000, latency=9_000_000, status_code=200)
    add(state="in_flight")
    found = rows(engine, "SELECT * FROM events ORDER BY call_id, position")
    assert [(row["call_id"], row["kind"], row["at_ms"], row["detail"]) for row in found] == [
        (1, "request", 0.0, "POST /v1/chat/completions"),
        (1, "headers", 2.0, "200"),
        (1, "first_token", 3.0, None),
        (1, "end", 9.0, "completed"),
        (2, "request", 0.0, "POST /v1/chat/completions"),
    ]
    at = found[3]["at"]
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    assert moment == datetime(2026, 11, 22, 17, 27, 2, 9000, UTC)


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
USE = {"type": "tool_use", "id": "c2", "name": "look", "input": {}}
ITEM = {"type": "function_call", "call_id": "c3", "name": "look", "arguments": "{}"}
FACES: Mapping[str, tuple[object, object, list[tuple[object, ...]]]] = {
    "chat completions": (
        {"messages": [{"role": "system", "content": "你好"}, {"role": "tool", "tool_call_id": "c0", "content": "42"}]},
        {
            "choices": [
                {"message": {"content": None, "role": "assistant", "reasoning_content": "hm", "tool_calls": [CALL]}}
            ]
        },
        [
            ("request", 1, "system", "你好", None, None, None),
            ("request", 2, "tool", "42", None, None, "c0"),
            ("response", 1, "assistant", None, "hm", [CALL], None),
        ],
    ),
    "messages": (
        {"system": [{"type": "text", "text": "sys"}], "messages": [{"role": "user", "content": [{"text": "a"}, "b"]}]},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}, USE],
        },
        [
            ("request", 0, "system", "sys", None, None, None),
            ("request", 1, "user", "a\nb", None, None, None),
            ("response", 1, "assistant", "yes", "hm", [USE], None),
        ],
    ),
    "responses": (
        {
            "instructions": "i",
            "input": [{"role": "user", "content": "q"}, {"type": "function_call_output", "output": "1"}],
        },
        {
            "error": None,
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]},
                ITEM,
            ],
        },
        [
            ("request", 0, "system", "i", None, None, None),
            ("request", 1, "user", "q", None, None, None),
            ("request", 2, "function_call_output", "1", None, None, None),
            ("response", 1, "reasoning", None, "hm", None, None),
            ("response", 2, "assistant", "yes", None, None, None),
            ("response", 3, "function_call", None, None, [ITEM], "c3"),
        ],
    ),
    "a text and an error": (
        {"input": "hi"},
        {"error": {"message": "no"}},
        [("request", 1, "user", "hi", None, None, None), ("response", 1, "error", "no", None, None, None)],
    ),
    "a prompt": (
        {"prompt": "once"},
        {"choices": [{"text": "upon"}]},
        [("request", 1, "prompt", "once", None, None, None), ("response", 1, "assistant", "upon", None, None, None)],
    ),
}


@pytest.mark.parametrize("face", FACES)
def test_messages_of_every_face_are_rows(engine: Engine, add: Add, face: str) -> None:
    """The messages of requests and answers are in order, with texts, reasoning and tool calls."""
    request, response, wanted = FACES[face]
    add(request=json.dumps(request).encode(), response=json.dumps(response, ensure_ascii=False).encode())
    found = rows(engine, "SELECT * FROM messages ORDER BY call_id, side, position")
    names = ("side", "position", "role", "text", "reasoning", "tool_calls", "tool_call_id")
    shown = [tuple(parsed(name, row[name]) for name in names) for row in found]
    assert shown == wanted
    messages = [parsed("message", row["message"]) for row in found]
    if isinstance(request, dict) and "messages" in request:
        assert request["messages"][0] in messages


def parsed(name: str, value: object) -> object:
    """Return a value, parsed if it is JSON that the database returns as text."""
    return json.loads(value) if name in ("tool_calls", "message") and isinstance(value, str) else value


ODD = (
    *(b"", b"not json", b"[1]", b"1", b'"x"', b"null", b"\xff\xfe", b'{"messages": {"a": 1}}', b'{"messages": "x"}'),
    b'{"messages": [1, null, "s", [2], true, {"role": 7, "content": {"a": {"b": 1}}}, {"content": [null, 1, [2]]}]}',
    b'{"choices": [1, {"message": "s"}, {"message": null}, {"text": 5}], "content": 3, "error": "broken"}',
    b'{"messages": [{"role": "user", "content": "nul \\u0000 and \\ud800 half"}], "tool_calls": 5}',
    b'{"messages": [{"tool_calls": {"a": 1}, "summary": 5, "reasoning": {"a": 1}, "type": ["x"], "call_id": [1]}]}',
    b'{"messages": [' + b"[" * 3000 + b"]" * 3000 + b"]}",
    b'{"messages": [{"role": "user", "content": "n"}], "n": 1e999999}',
)


def test_odd_bodies_do_not_end_a_query(engine: Engine, add: Add) -> None:
    """One invalid body only loses its own rows, and never fails the query."""
    for body in ODD:
        add(request=body, response=body)
    add(request=b'{"messages": [{"role": "user", "content": "good"}]}', response=None)
    last = rows(engine, "SELECT call_id, text FROM messages WHERE role = 'user' ORDER BY call_id")[-1]
    assert last == {"call_id": len(ODD) + 1, "text": "good"}
    assert len(rows(engine, "SELECT * FROM messages")) == 19


def test_one_call_is_found_without_reading_others(file: Path, engine: Engine, add: Add) -> None:
    """A number and a time are looked up in indexes, and only the matching calls' bodies are assembled."""
    plans = {
        "SELECT * FROM calls WHERE id = 3": "USING INTEGER PRIMARY KEY",
        "SELECT * FROM messages WHERE call_id = 3": "SEARCH e USING INTEGER PRIMARY KEY",
        "SELECT * FROM events WHERE call_id = 3": "USING INTEGER PRIMARY KEY",
        "SELECT id FROM calls WHERE requested_at_us > 5": "USING COVERING INDEX exchanges_started_at",
    }
    for query, wanted in plans.items():
        plan = [str(row["detail"]) for row in rows(engine, f"EXPLAIN QUERY PLAN {query}")]
        assert any(wanted in line for line in plan), query
        assert not [line for line in plan if line.startswith(("SCAN e", "SCAN exchanges"))], query


def test_what_users_have_made_is_left_alone(store_url: str, engine: Engine, add: Add) -> None:
    """A user's view under one of the names is kept, and so are ours on which it depends."""
    with writing(engine) as connection:
        drop_views(connection)
        connection.execute(text("CREATE VIEW calls AS SELECT 1 AS mine"))
        make_views(connection)
        connection.execute(text("CREATE VIEW daily AS SELECT count(*) AS number FROM events"))
    with writing(engine) as connection:
        drop_views(connection)
        make_views(connection)
    assert rows(engine, "SELECT * FROM calls") == [{"mine": 1}]
    assert rows(engine, "SELECT * FROM daily") == [{"number": 0}]
    with writing(engine) as connection:
        connection.execute(text("DROP VIEW daily"))
        connection.execute(text("DROP VIEW calls"))
        drop_views(connection)
        make_views(connection)
    assert rows(engine, "SELECT * FROM calls") == []


def test_a_name_that_is_taken_otherwise(store_url: str, engine: Engine) -> None:
    """A user's index under one of the names only costs that view, and not the store."""
    with writing(engine) as connection:
        drop_views(connection)
        connection.execute(text("CREATE INDEX events ON exchanges (id)"))
        make_views(connection)
    assert set(inspect(engine).get_view_names()) == {"moonshot_requests", CALLS, MESSAGES}


def test_an_older_store_gets_the_views(tmp_path: Path) -> None:
    """An older store gets the views when it is opened."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    old = make_engine(parse_url(url))
    with writing(old) as connection:
        migrate(connection, "0007")
    assert inspect(old).get_view_names() == ["moonshot_requests"]
    old.dispose()
    engine = open_store(url)
    assert set(inspect(engine).get_view_names()) == {"moonshot_requests", CALLS, MESSAGES, EVENTS}
    engine.dispose()


def test_postgresql_knows_what_the_columns_mean(postgres_url: str) -> None:
    """Comments on views and columns show their meaning in PostgreSQL's tools."""
    engine = open_store(postgres_url)
    comments = {column["name"]: column["comment"] for column in inspect(engine).get_columns(CALLS)}
    assert comments == {column.name: column.meaning for column in COLUMNS[CALLS]}
    engine.dispose()

"""Tests that stores of earlier releases are migrated with all their data."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import zstandard
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from moonpalace_addons.store.database.engine import make_engine, parse_url, set_layout, writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import contents, runs
from moonpalace_addons.store.revision import REVISION
from moonpalace_addons.store.schema import METADATA
from moonpalace_addons.store.upkeep import health_rows, search_blocks
from moonpalace_addons.store.upkeep.indexing import catch_up
from moonpalace_addons.store.upkeep.search_blocks import BLOCK_SIZE

RUN = {"id": "1" * 36, "host": "here", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
VERSIONS = Path(import_module("moonpalace_addons.store.migrations.versions").__path__[0])
EARLIER = [found[:4] for found in sorted(file.name for file in VERSIONS.glob("[0-9]*.py")) if found[:4] != REVISION]

BODY = b'{"messages": [{"content": "hello"}]}'
PART = "INSERT INTO parts (hash, is_text, data) VALUES (:hash, true, :data)"
# As the first release wrote it.
CALL = """
INSERT INTO exchanges (uuid, run_id, state, started_at, method, endpoint, path, query, request_headers, request_bytes,
    is_stream, is_coerced, request_parts)
VALUES (:uuid, :run_id, 'completed', 0, 'GET', 'http://x', '/', '', '', 36, false, false, '[1]')
"""


@pytest.fixture
def url(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> str:
    """Give the URL of a database without any table."""
    if database == "postgresql":
        return str(request.getfixturevalue("postgres_blank_url"))
    return f"sqlite:///{tmp_path / 'old.sqlite'}"


def made(url: str, revision: str) -> Engine:
    """Create a store as the release with this revision did."""
    engine = make_engine(parse_url(url))
    if engine.dialect.name == "sqlite":
        set_layout(engine)
    config = Config()
    config.set_main_option("script_location", "moonpalace_addons.store:migrations")
    config.set_main_option("path_separator", "os")
    with writing(engine, alone=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


@pytest.mark.parametrize("revision", EARLIER)
def test_an_earlier_store_is_brought_up_to_date(url: str, revision: str) -> None:
    """After opening, it has the current tables and its calls, and is indexed like any other."""
    old = made(url, revision)
    with writing(old) as connection:
        runs.begin_run(connection, dict(RUN))
        connection.execute(text(PART), {"hash": b"h", "data": BODY})
        for number in range(BLOCK_SIZE):
            connection.execute(text(CALL), {"uuid": str(number), "run_id": RUN["id"]})
    old.dispose()
    engine = open_store(url)
    with engine.connect() as connection:
        assert health_rows.revision(connection) == REVISION
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
    assert contents.bodies(engine, BLOCK_SIZE).request == BODY
    catch_up(engine)
    with engine.connect() as connection:
        assert search_blocks.missing(connection, 0, 1) == []
    engine.dispose()


@pytest.mark.parametrize("streams", [1, 2 * BLOCK_SIZE + 5])
def test_streams_of_earlier_stores_are_found(url: str, streams: int) -> None:
    """A stream that is not merged gets its texts, and its block is indexed again; all others are unchanged."""
    old = made(url, "0005")
    events = [{"type": "content_block_delta", "index": 0, "delta": {"text": text}} for text in ("Moon", "palace")]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    with writing(old) as connection:
        runs.begin_run(connection, dict(RUN))
        for name, body in (("h", BODY), ("s", stream)):
            connection.execute(text(PART), {"hash": name.encode(), "data": body})
        for number in range(4 * BLOCK_SIZE):
            is_stream = 1 <= number <= streams
            connection.execute(text(CALL), {"uuid": str(number), "run_id": RUN["id"]})
            given = {"call": number + 1, "parts": "[2]" if is_stream else "[1]", "data": zstandard.compress(stream)}
            connection.execute(text("UPDATE exchanges SET response_parts = :parts WHERE id = :call"), given)
            connection.execute(text("INSERT INTO event_streams VALUES (:call, :data, :data)"), given)
        for block in range(4):
            connection.execute(
                text("INSERT INTO search_blocks VALUES (:block, :words)"), {"block": block, "words": b"x"}
            )
    old.dispose()
    engine = open_store(url)
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT exchange_id, texts FROM event_streams WHERE texts IS NOT NULL")).all()
        assert dict(map(tuple, kept)) == dict.fromkeys(range(2, streams + 2), '[{"text": "Moonpalace"}]')
        assert search_blocks.missing(connection, 0, 4) == ([0] if streams == 1 else [2, 1, 0])
    engine.dispose()


OLD_CALLS: dict[str, tuple[str, str, bytes, bytes, dict[str, object]]] = {
    "Kimi": (
        "",
        "Msh-Request-Id: r-1\r\n",
        b'{"model": "kimi-k3"}',
        b'{"choices": []}',
        {"session": None, "cost": None},
    ),
    "OpenAI": (
        "session_id: s-1\r\n",
        "x-request-id: req_1\r\nopenai-processing-ms: 12\r\nx-ratelimit-remaining-tokens: 5\r\nretry-after: 2\r\n",
        b"{}",
        b'{"service_tier": "flex", "usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}}}',
        {
            "session": "s-1",
            "msh_request_id": "req_1",
            "server_timing": 12,
            "tokens_left": 5,
            "retry_after": 2_000_000_000,
            "prompt_tokens": 7,  # as it was
            "cache_write_tokens": 4,
            "service_tier": "flex",
        },
    ),
    "messages": (
        "",
        "request-id: req_2\r\n",
        b'{"metadata": {"user_id": "user_a_account_b_session_c-1"}, "messages": []}',
        b'event: message_start\ndata: {"type": "message_start", "message": {"usage": {"input_tokens": 2,'
        b' "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}}}\n\n'
        b'event: message_delta\ndata: {"type": "message_delta", "usage": {"output_tokens": 8}}\n\n',
        {
            "session": "c-1",
            "msh_request_id": "req_2",
            "cache_write_tokens": 3,
            "cached_tokens": 4,
            "completion_tokens": 8,
            "total_tokens": 17,
        },
    ),
}


def test_earlier_calls_get_what_they_said(url: str) -> None:
    """Sessions, request ids, rate limits and tokens are read from headers and bodies; nothing is replaced."""
    old = made(url, "0006")
    with writing(old) as connection:
        runs.begin_run(connection, dict(RUN))
        for number, (name, call) in enumerate(OLD_CALLS.items(), 1):
            asked, answered, request, response, _ = call
            connection.execute(text(CALL), {"uuid": name, "run_id": RUN["id"]})
            for side, body in (("q", request), ("a", response)):
                connection.execute(text(PART), {"hash": f"{side}{number}".encode(), "data": body})
            given = {"id": number, "q": f"[{2 * number - 1}]", "a": f"[{2 * number}]", "asked": asked, "said": answered}
            change = "request_parts = :q, response_parts = :a, request_headers = :asked, response_headers = :said"
            connection.execute(text(f"UPDATE exchanges SET {change} WHERE id = :id"), given)
        connection.execute(text("UPDATE exchanges SET prompt_tokens = 7 WHERE uuid = 'OpenAI'"))
    old.dispose()
    engine = open_store(url)
    with engine.connect() as connection:
        rows = {row["uuid"]: dict(row) for row in connection.execute(text("SELECT * FROM exchanges")).mappings()}
    for name, (*_, expected) in OLD_CALLS.items():
        assert {column: rows[name][column] for column in expected} == expected
    engine.dispose()


def test_a_session_is_read_from_the_ends_of_a_long_request() -> None:
    """Only the first and the last piece of a long request are read."""
    migration = import_module("moonpalace_addons.store.migrations.versions.0007_usage_and_cost")
    assert migration.ends("[5, 6, 7]") == [5, 7]
    assert migration.ends("[5]") == [5]
    assert migration.ends(None) == migration.ends("no list") == []
    pieces = [b'{"messages": [', b'], "prompt_cache_key" : "k\\"1", "stream": true}']
    assert migration.members_of(pieces) == {"prompt_cache_key": 'k"1', "metadata": {}}

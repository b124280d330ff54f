"""An empty store in a folder of the test, and the tasks of a plain call."""

import gzip
import json
import shutil
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from msgspec import structs
from sqlalchemy import Engine, literal

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import runs
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State
from tests import waiting
from tests.store.added import add, rows  # noqa: F401 - fixtures

STARTED_AT = 1_795_368_422_123_456  # 2026-11-22 17:27:02.123456 UTC
REQUEST = {"model": "kimi-k3", "messages": [{"role": "user", "content": "你好"}]}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1730000000,
    "model": "kimi-k3-0905",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cached_tokens": 5},
}


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone to Shanghai, where the original's file was written and predicates are tested."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def file(tmp_path: Path, empty_store: Path) -> Path:
    """Give the file of an empty store."""
    return Path(shutil.copyfile(empty_store, tmp_path / "moonpalace.sqlite"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a store on both databases, but one with the `file` only on SQLite."""
    if "database" in metafunc.fixturenames:
        databases = ["sqlite"] if "file" in metafunc.fixturenames else ["sqlite", "postgresql"]
        metafunc.parametrize("database", databases, indirect=True, scope="function")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Give the kind of database that the test runs on."""
    return str(request.param)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, database: str) -> str:
    """Give the URL of an empty store of the test's own."""
    # Not by parameter: a server is started only for tests that need one, and `file` marks those that want no server.
    if database == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{request.getfixturevalue('file')}"


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """Give an engine on an empty store."""
    engine = open_store(store_url)
    yield engine
    engine.dispose()


@pytest.fixture
def old_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the database has been available for long: the tests' PostgreSQL server has just started."""
    monkeypatch.setattr(runs, "database_started", lambda: literal(0))


@pytest.fixture
def run_id(engine: Engine) -> str:
    """Record a run for rows to belong to; return its id."""
    run = {"id": str(uuid4()), "host": "elsewhere", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
    with writing(engine) as connection:
        runs.begin_run(connection, run)
    return str(run["id"])


@pytest.fixture
def request_read() -> Callable[..., RequestRead]:
    """Give a function that returns the beginning of a plain call with some fields changed."""

    def make(**changes: object) -> RequestRead:
        plain = RequestRead(
            uuid=str(uuid4()),
            started_at=STARTED_AT,
            method="POST",
            endpoint="https://api.moonshot.cn",
            path="/v1/chat/completions",
            query="",
            headers="Accept: application/json\r\nContent-Type: application/json\r\n",
            content_type="application/json",
            content_encoding=None,
            client_request_id="client-1",
            body=json.dumps(REQUEST, ensure_ascii=False).encode(),
        )
        return structs.replace(plain, **changes)

    return make


@pytest.fixture
def response_started() -> Callable[..., ResponseStarted]:
    """Return a function that returns the beginning of a plain answer with these chunks, one per millisecond."""

    def make(call: RequestRead, chunks: Iterable[bytes] | None = None, **changes: object) -> ResponseStarted:
        given = [json.dumps(COMPLETION).encode()] if chunks is None else chunks
        plain = ResponseStarted(
            uuid=call.uuid,
            at=1_000_000,
            status_code=200,
            headers="Content-Type: application/json\r\nMsh-Request-Id: req-1\r\nMsh-Uid: u\r\nMsh-Gid: g\r\n"
            "Server-Timing: inner; dur=101\r\n",
            content_type="application/json",
            content_encoding=None,
            chunks=deque((2_000_000 + number * 1_000_000, chunk) for number, chunk in enumerate(given)),
        )
        return structs.replace(plain, **changes)

    return make


@pytest.fixture
def ended() -> Callable[..., ExchangeEnded]:
    """Give a function that returns the end of a call, completed after 9 ms, with some fields changed."""

    def make(call: RequestRead, **changes: object) -> ExchangeEnded:
        plain = ExchangeEnded(uuid=call.uuid, at=9_000_000, state=State.COMPLETED, overhead=50_000)
        return structs.replace(plain, **changes)

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Give a function that waits for a condition and fails if it does not come true in good time."""

    def wait(condition: Callable[[], object]) -> None:
        waiting.until(condition)

    return wait


@pytest.fixture
def encoded() -> dict[str | None, Callable[[bytes], bytes]]:
    """Give a function for each content encoding that applies it."""
    return {
        None: bytes,
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstandard.compress,
        "gzip, br": lambda data: bytes(brotli.compress(gzip.compress(data))),
    }

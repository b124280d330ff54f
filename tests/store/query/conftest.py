"""A store on each database with calls of every kind, and a function that runs predicates on it."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, insert, select, update

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import runs
from moonpalace_addons.store.schema import EXCHANGES, TAGS
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State, Task
from tests.batches import Batch

STARTED_AT = 1_722_259_853_250_000  # 2024-07-29 21:30:53.25 in Shanghai
SECOND = 1_000_000
RUN = {"id": "1" * 36, "host": "here", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
EVENTS = (
    b'data: {"id":"chatcmpl-s","model":"kimi-k2","choices":[{"index":0,"delta":{"content":"streamed words"}}]}\n\n'
    b'data: {"id":"chatcmpl-s","choices":[{"index":0,"delta":{},"finish_reason":"length"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}}\n\ndata: [DONE]\n\n'
)


@pytest.fixture(autouse=True)
def clock(shanghai: None) -> None:
    """Set the time zone to Shanghai."""


@dataclass(slots=True)
class Calls:
    """A store with named calls."""

    engine: Engine
    names: dict[int, str] = field(default_factory=dict)

    def add(
        self,
        name: str,
        request: object = b"",
        response: object = None,
        *,
        path: str = "/v1/chat/completions",
        status: int | None = 200,
        content_type: str = "application/json",
        state: State = State.COMPLETED,
        tags: tuple[str, ...] = (),
        after: int = 0,
        error: str | None = None,
        **columns: object,
    ) -> None:
        """Store a call as the proxy does, `after` seconds after the first; then change its columns."""
        uuid = str(UUID(int=len(self.names) + 1))  # the same in both databases
        tasks = tasks_of(uuid, request, response, path, status, content_type, state, after, error)
        with writing(self.engine) as connection:
            store(connection, tasks)
            row = connection.execute(select(EXCHANGES.c.id).where(EXCHANGES.c.uuid == uuid)).scalar_one()
            if columns:
                connection.execute(update(EXCHANGES).where(EXCHANGES.c.id == row).values(columns))
            for tag in tags:
                connection.execute(insert(TAGS).values(exchange_id=row, tag=tag))
        self.names[row] = name

    def add_bodies(self, bodies: Iterable[tuple[object, object]]) -> None:
        """Store completed calls without names together, with these requests and responses."""
        tasks = [task for asked, answered in bodies for task in tasks_of(str(uuid4()), asked, answered)]
        with writing(self.engine) as connection:
            store(connection, tasks)

    def holding(self, *predicates: str) -> list[str]:
        """Return the names of the calls that match the predicates, oldest first."""
        from moonpalace_addons.store.query.condition import condition

        query = select(EXCHANGES.c.id).where(condition(predicates, self.engine)).order_by(EXCHANGES.c.id)
        with self.engine.connect() as connection:
            return [self.names[row] for row in connection.execute(query).scalars()]


def tasks_of(
    uuid: str,
    request: object,
    response: object,
    path: str = "/v1/chat/completions",
    status: int | None = 200,
    content_type: str = "application/json",
    state: State = State.COMPLETED,
    after: int = 0,
    error: str | None = None,
) -> list[Task]:
    """Return the proxy's tasks for a call."""
    asked = RequestRead(
        uuid=uuid,
        started_at=STARTED_AT + after * SECOND,
        method="POST" if request else "GET",
        endpoint="https://api.moonshot.cn",
        path=path,
        query="",
        headers="Accept: */*\r\n",
        content_type="application/json",
        content_encoding=None,
        client_request_id=None,
        body=encoded(request),
    )
    chunks = deque([(2_000_000, encoded(response))])
    headers = "Content-Type: application/json\r\nMsh-Request-Id: req-1\r\nServer-Timing: inner; dur=101\r\n"
    answer = ResponseStarted(uuid, 1_000_000, status, headers, content_type, None, chunks) if status else None
    return [asked, ExchangeEnded(uuid, 2_500_000_000, state, error_message=error, response=answer)]


def store(connection: Connection, tasks: list[Task]) -> None:
    """Store calls as the proxy does."""
    batch = Batch(RUN["id"], b"k" * 32)  # type: ignore[arg-type]
    batch.plan(tasks, keep=False)
    batch.store(connection)


def encoded(body: object) -> bytes:
    """Return bytes unchanged, anything else as JSON."""
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def answer(content: str, reason: str | None = "stop", **more: object) -> dict[str, object]:
    """Return a completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return {"id": "chatcmpl-1", "model": "kimi-k3-0905", "choices": [choice], "usage": usage} | more


def fill(calls: Calls) -> None:
    """Store a call of each kind."""
    turns = [{"role": "user" if number % 2 else "tool", "content": f"turn {number}"} for number in range(25)]
    calls.add(
        "plain",
        {"model": "kimi-k3", "messages": [{"role": "user", "content": "What is a Foo-Bar?"}], "stream": False},
        answer("A foo bar is nothing."),
        tags=("code", "python"),
        category="goodcase",
        note="seen 100%",
        latency=1_500_000_000,
        time_to_first_token=300_999_999,
    )
    calls.add(
        "long",
        {"model": "kimi-k3", "messages": turns, "max_tokens": 5},
        answer("cut", "length", usage={"prompt_tokens": 900, "completion_tokens": 5, "total_tokens": 905}),
        tags=("python",),
        after=60,
    )
    calls.add(
        "stream",
        {"model": "kimi-k2", "messages": [{"role": "user", "content": "你好，月之暗面"}], "stream": True},
        EVENTS,
        content_type="text/event-stream",
        after=120,
    )
    two = answer("one")
    two["choices"] = [*two["choices"], {"index": 1, "message": {"content": "two"}, "finish_reason": "length"}]  # type: ignore[misc]
    calls.add("two", {"model": "kimi-k3", "messages": []}, two, after=86_400)
    calls.add(
        "failed",
        {"model": "moonshot-v1-8k", "messages": [{"role": "user", "content": "x"}], "stream": True},
        status=None,
        state=State.UPSTREAM_FAILED,
        error="connection refused",
        after=86_401,
    )
    calls.add("models", b"", {"object": "list", "data": [{"id": "kimi-k3"}]}, path="/v1/models", after=86_402)
    # What the API would not send: every kind of value, and names that are hard to find.
    kinds = {
        "whole": 1,
        "decimal": 1.5,
        "digits": "1",
        "yes": True,
        "no": False,
        "nothing": None,
        "negative": -2,
        "text": "A%b_c!*",
        "list": [1, "x", True, None, {"k": "v"}],
        "object": {"g": 1.5, "0": "zero"},
        'a "b"': {"c d": 1},
        "a.b": "dotted",
        "名": {"字": "好"},
        "nested": [[1, 2], [3]],
        "empty": [],
        "model": 5,
        "stream": "true",
    }
    calls.add("kinds", kinds, {"model": ["m"], "usage": {"total_tokens": 3.5}, "choices": "none"}, after=86_403)
    escaped = b'{"nul": "a\\u0000b", "half": "\\ud800x", "pair": "\\ud83d\\ude00", "\\u540d": 7, "huge": 1e999, '
    escaped += b'"big": 12345678901234567890, "twice": "first", "plain": [{"k": 1, "k": {"x": 2, "x": 3}}], '
    escaped += b'"tw\\u0069ce": "last", "slash": "\\\\u0000\\u0000\\u0000z", "many": {"y": 1, "z": 2, "y": 3}}'
    calls.add("escaped", escaped, b'{"content": "\\u4f60\\u597d caf\\u00e9"}', after=86_404)
    calls.add("broken", b'{"model": "kimi-k3"', b"<html>504</html>", status=504, content_type="text/html", after=86_405)
    calls.add("binary", b"\xff\x00", b"\x00", after=86_406)
    calls.add("deep", b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, after=86_407)
    calls.add("untyped", {"model": "kimi-k3"}, answer("plain text"), content_type="text/plain", after=86_408)


@pytest.fixture(scope="session")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    """Give a store with calls in a file."""
    file = tmp_path_factory.mktemp("predicates") / "moonpalace.sqlite"
    yield from filled(f"sqlite:///{file}")


def filled(url: str) -> Iterator[Calls]:
    """Give a store with calls."""
    engine = open_store(url, create=True)
    with writing(engine) as connection:
        runs.begin_run(connection, dict(RUN))
    calls = Calls(engine)
    fill(calls)
    engine.dispose()  # new connections know the time zone of the tests, which has not been set yet
    yield calls
    engine.dispose()


@pytest.fixture(scope="session")
def filled_postgresql(request: pytest.FixtureRequest) -> Iterator[Calls]:
    """Give a store with calls in PostgreSQL."""
    postgres = request.getfixturevalue("postgres")
    with postgres.database(request.getfixturevalue("postgres_template")) as name:
        yield from filled(postgres.url(name))


@pytest.fixture(params=["sqlite", "postgresql"])
def calls(request: pytest.FixtureRequest) -> Calls:
    """Give a store with calls on each database."""
    found: Calls = request.getfixturevalue(f"filled_{request.param}")
    return found


@pytest.fixture
def file(filled_sqlite: Calls) -> Path:
    """Give the file of the store on SQLite."""
    return Path(str(filled_sqlite.engine.url.database))


type Ask = Callable[..., list[str]]

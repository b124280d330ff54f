"""A store with calls, and `mpal` run on it as by a user, in the time zone of Shanghai."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges, runs
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.main import main
from tests.carried import carry
from tests.exchanges import an_exchange

RUN = "11111111-1111-1111-1111-111111111111"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a temporary home and the time zone of Shanghai."""
    for name in list(os.environ):
        if name.startswith("MOONPALACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MOONPALACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create one empty store to copy: migrating takes longer than a test."""
    file = tmp_path_factory.mktemp("empty") / "moonpalace.sqlite"
    engine = open_store(f"sqlite:///{file}", create=True)
    with writing(engine) as connection:
        run = {"id": RUN, "host": "here", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
        runs.begin_run(connection, run)
    engine.dispose()
    return file


@dataclass(frozen=True, slots=True)
class Store:
    """The store that `mpal` uses in this test."""

    engine: Engine

    def add(
        self,
        *,
        request: bytes = b"",
        response: bytes | None = b"",
        events: bytes | None = None,
        chunks: Sequence[tuple[int, int]] = (),
        **changes: object,
    ) -> int:
        """Store a call and return its id."""
        exchange = an_exchange(**changes)  # type: ignore[arg-type]
        row: dict[str, object] = exchange._asdict()
        row |= {"run_id": RUN, "started_at": int(exchange.started_at.timestamp() * 1e6), "state": exchange.state.value}
        row |= {"uuid": str(uuid4())}
        lists = {"changes": exchange.changes, "warnings": exchange.warnings}
        row |= {name: json.dumps(texts) if texts else None for name, texts in lists.items()}
        if "id" not in changes:
            del row["id"]
        with writing(self.engine) as connection:
            (row_id,) = exchanges.insert_exchanges(connection, [row]).values()
            carry(connection, row_id, request=request, response=response, stream=events, chunks=chunks)
        return row_id


@pytest.fixture
def exchange() -> Callable[..., Exchange]:
    """Give a function that returns a plain completed call with some fields changed; `refused=True` for a failed one."""
    return an_exchange


@pytest.fixture
def call() -> Callable[..., Call]:
    """Give a function that returns a plain completed call with these bodies and tags, and some fields changed."""

    def make(
        request: bytes | None = b"{}",
        response: bytes | None = b"{}",
        events: bytes | None = None,
        tags: tuple[str, ...] = (),
        event_times: tuple[int, ...] = (),
        **changes: object,
    ) -> Call:
        stream: dict[str, object] = {"is_stream": True, "response_content_type": "text/event-stream"}
        row = an_exchange(**({} if events is None else stream) | changes)  # type: ignore[arg-type]
        return Call(row, Bodies(request, response, events), tags, event_times)

    return make


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Iterator[Store]:
    """Give an empty store at the place where `mpal` looks for it."""
    file = tmp_path / "home" / "moonpalace.sqlite"
    file.parent.mkdir()
    shutil.copyfile(empty_store, file)
    engine = open_store(f"sqlite:///{file}")
    yield Store(engine)
    engine.dispose()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run of `mpal`."""

    code: int
    out: str
    err: str


type Mpal = Callable[..., Outcome]


@pytest.fixture
def mpal(capsys: pytest.CaptureFixture[str]) -> Mpal:
    """Give a function that runs `mpal` with these arguments in this process."""

    def run(*arguments: str) -> Outcome:
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run

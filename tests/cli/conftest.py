"""A store with calls in it, and `mpal` run on it as a user would, in the time zone of Shanghai."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges, runs
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_cli.main import main
from tests.carried import carry

RUN = "11111111-1111-1111-1111-111111111111"
STARTED = datetime(2026, 11, 22, 17, 27, 2, tzinfo=UTC)
REQUEST_HEADERS = (
    "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.50.0\r\n"
    "X-Stainless-Lang: python\r\n"
)
RESPONSE_HEADERS = (
    "Content-Type: application/json\r\nMsh-Gid: g-test\r\nMsh-Request-Id: req-00000001-aaaa-bbbb\r\n"
    "Msh-Uid: u-test\r\nServer-Timing: inner; dur=101\r\n"
)


def plain_exchange() -> Exchange:
    """Return a plain completed chat completion."""
    return Exchange(
        id=1,
        uuid="00000000-0000-0000-0000-000000000001",
        state=State.COMPLETED,
        started_at=STARTED,
        method="POST",
        endpoint="https://api.moonshot.cn",
        endpoint_name=None,
        path="/v1/chat/completions",
        query="",
        request_headers=REQUEST_HEADERS,
        request_content_type="application/json",
        request_bytes=97,
        client_request_id=None,
        session=None,
        key_fingerprint=None,
        changes=(),
        status_code=200,
        response_headers=RESPONSE_HEADERS,
        response_content_type="application/json",
        response_bytes=311,
        msh_request_id="req-00000001-aaaa-bbbb",
        msh_uid="u-test",
        msh_gid="g-test",
        server_timing=101,
        context_cache_id=None,
        requests_left=None,
        tokens_left=None,
        retry_after=None,
        chatcmpl_id="chatcmpl-00000001",
        model_requested="kimi-k3",
        model_answered="kimi-k3",
        is_stream=False,
        is_coerced=False,
        finish_reason="stop",
        prompt_tokens=11,
        completion_tokens=7,
        total_tokens=18,
        cached_tokens=None,
        reasoning_tokens=None,
        cache_write_tokens=None,
        cache_write_1h_tokens=None,
        service_tier=None,
        reported_cost=None,
        cost=None,
        cost_input=None,
        cost_cached=None,
        cost_output=None,
        cost_currency=None,
        price_input=None,
        price_cached=None,
        time_to_headers=1_200_000,
        time_to_first_token=None,
        time_to_first_visible_token=None,
        time_per_output_token=None,
        output_tokens_per_second=4176.6035,
        longest_stall=None,
        gap_p50=None,
        gap_p90=None,
        gap_p99=None,
        latency=1_676_003,
        overhead=90_000,
        warnings=(),
        error_kind=None,
        error_message=None,
        cache_outcome=None,
        cache_tokens=None,
        category=None,
        note=None,
    )


REFUSED: dict[str, object] = {
    "state": State.UPSTREAM_FAILED,
    "status_code": None,
    "response_headers": None,
    "response_content_type": None,
    "response_bytes": None,
    "msh_request_id": None,
    "msh_uid": None,
    "msh_gid": None,
    "server_timing": None,
    "chatcmpl_id": None,
    "model_answered": None,
    "finish_reason": None,
    "prompt_tokens": None,
    "completion_tokens": None,
    "total_tokens": None,
    "output_tokens_per_second": None,
    "error_kind": "connect",
    "error_message": "connection refused by 127.0.0.1:26335",
}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the home into a folder of the test and the clock into Shanghai."""
    for name in list(os.environ):
        if name.startswith("MOONPALACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MOONPALACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one empty store to copy: migrating takes longer than all of a test."""
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
    exchange: Callable[..., Exchange]

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
        exchange = self.exchange(**changes)
        row: dict[str, object] = {name: getattr(exchange, name) for name in Exchange.__slots__}
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

    def make(*, refused: bool = False, **changes: object) -> Exchange:
        return replace(plain_exchange(), **((REFUSED if refused else {}) | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def store(tmp_path: Path, empty_store: Path, exchange: Callable[..., Exchange]) -> Iterator[Store]:
    """Give an empty store at the place where `mpal` looks for it."""
    file = tmp_path / "home" / "moonpalace.sqlite"
    file.parent.mkdir()
    shutil.copyfile(empty_store, file)
    engine = open_store(f"sqlite:///{file}")
    yield Store(engine, exchange)
    engine.dispose()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of `mpal` gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def mpal(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Give a function that runs `mpal` with these arguments in this process."""

    def run(*arguments: str) -> Outcome:
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run

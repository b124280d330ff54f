"""Tests of reading the numbers for statistics."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.read import statistics
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.derive import EMPTY


@pytest.fixture
def add(engine: Engine, run_id: str) -> Callable[..., None]:
    """Give a function that stores calls."""

    def store(*rows: dict[str, object]) -> None:
        plain = EMPTY | {"run_id": run_id, "state": State.COMPLETED.value, "method": "POST", "started_at": 1}
        plain |= {"endpoint": "e", "query": "", "path": "/v1/chat/completions", "request_headers": ""}
        plain |= {"request_bytes": 0, "is_stream": False, "is_coerced": False}
        with writing(engine) as connection:
            for row in rows:
                exchanges.insert_exchanges(connection, [plain | {"uuid": str(uuid4())} | row])

    return store


def test_numbers_of_a_call(engine: Engine, add: Callable[..., None]) -> None:
    """Each call has its numbers; the model is the one that answered, else the requested one."""
    tokens = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cached_tokens": 4, "reasoning_tokens": 5}
    times = {"time_to_first_token": 6, "time_per_output_token": 7, "latency": 8}
    add(
        {"model_requested": "asked", "model_answered": "answered", "status_code": 200, **tokens, **times},
        {"model_requested": "asked", "state": State.TIMED_OUT.value, "error_kind": "idle"},
    )
    results = [call for batch in statistics.measured(engine, (*tokens, *times)) for call in batch]
    assert results == [
        ("answered", "completed", 200, None, 1, 2, 3, 4, 5, 6, 7, 8),
        ("asked", "timed_out", None, "idle", *[None] * 8),
    ]


def test_the_newest_calls_alone(engine: Engine, add: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit selects the newest calls; many calls are returned in several batches."""
    monkeypatch.setattr(statistics, "BATCH_SIZE", 2)
    add(*({"latency": number} for number in range(5)))
    batches = list(statistics.measured(engine, ["latency"], limit=3))
    assert [[call[-1] for call in batch] for batch in batches] == [[4, 3], [2]]
    assert sum(len(batch) for batch in statistics.measured(engine, [], limit=10**30)) == 5

"""Calls with almost no content, for testing queries."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.derive import EMPTY
from tests.carried import carry

MOMENT = datetime(2026, 11, 22, 17, 27, 2, tzinfo=UTC)

type Add = Callable[..., int]
type Count = Callable[[str], int]


@pytest.fixture
def add(engine: Engine, run_id: str) -> Add:
    """Give a function that stores a completed call and returns its id; each begins a second after the one before."""
    numbers = count()

    def store(*, request: bytes | None = b"x", response: bytes | None = b"x", **changes: object) -> int:
        number = next(numbers)
        row = EMPTY | {"uuid": str(number), "run_id": run_id, "state": State.COMPLETED}
        row |= {"started_at": (int(MOMENT.timestamp()) + number) * 10**6, "method": "POST", "endpoint": "e"}
        row |= {"query": "", "path": "/v1/chat/completions", "request_headers": "", "request_bytes": 0}
        row |= {"is_stream": False, "is_coerced": False}
        with writing(engine) as connection:
            (row_id,) = exchanges.insert_exchanges(connection, [row | changes]).values()
            carry(
                connection,
                row_id,
                request=request,
                response=response,
                stream=b"data: 1\n\n",
                chunks=[(9, 5)],
                segments=[(0, b"x", [])],
            )
        return row_id

    return store


@pytest.fixture
def rows(engine: Engine) -> Count:
    """Give a function that returns how many rows a table has."""

    def ask(table: str) -> int:
        with engine.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    return ask

"""Tests of waiting for a server that may be silent."""

from collections.abc import Generator, Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from moonpalace_addons.store.database import postgres_timeout
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.database.outage import is_store_failure, words
from moonpalace_addons.store.database.postgres_timeout import SilentServerError, within

SLEEP = text("SELECT pg_sleep(1)")


@pytest.fixture
def hasty(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Return an engine with a response timeout of a tenth of a second."""
    monkeypatch.setattr(postgres_timeout, "RESPONSE_TIMEOUT", 0.1)
    monkeypatch.setattr(postgres_timeout.TimeoutConnection, "response_timeout", 0.1)
    engine = open_store(postgres_url)
    yield engine
    engine.dispose()


def test_a_transaction_that_writes_does_not_wait_for_ever(hasty: Engine) -> None:
    """A silence that is too long is a temporary failure; the next transaction has a new connection."""
    with pytest.raises(DBAPIError) as caught, writing(hasty) as connection:
        connection.execute(SLEEP)
    assert caught.value.connection_invalidated
    assert is_store_failure(caught.value)
    assert words(caught.value) == "the server has not answered for 0.1 s"
    with writing(hasty) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_transaction_that_reads_takes_its_time(hasty: Engine) -> None:
    """A user's query may take longer, and so may a transaction with more patience."""
    with hasty.connect() as connection:
        connection.execute(SLEEP)
    with writing(hasty, patience=5) as connection:
        connection.execute(SLEEP)


def test_an_answer_that_comes_bit_by_bit_is_awaited() -> None:
    """A server that sends something is not silent; the driver's events and its result are passed on."""

    def driver() -> Generator[int, int | None, str]:
        assert [(yield 1), (yield 2), (yield 3)] == [1, 1, 1]
        return "done"

    waiting = within(driver(), -1.0)
    assert [next(waiting), waiting.send(1), waiting.send(1)] == [1, 2, 3]
    with pytest.raises(StopIteration) as end:
        waiting.send(1)
    assert end.value.value == "done"
    waiting = within(driver(), -1.0)
    next(waiting)
    with pytest.raises(SilentServerError):
        waiting.send(0)

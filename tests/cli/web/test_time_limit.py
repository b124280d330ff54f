"""Tests of the time limit of filters, most on PostgreSQL, and of its end; `test_pages.py` has the limit on SQLite."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import httpx
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.query.condition import condition
from moonpalace_cli.web import time_limit
from moonpalace_cli.web.watching import Watcher
from tests.cli.conftest import Store
from tests.cli.web.serving import TOKEN, serving
from tests.waiting import until


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    """Give a store in PostgreSQL."""
    result = open_store(postgres_url)
    yield result
    result.dispose()


def limit(engine: Engine) -> str:
    """Return the statement limit in a new transaction."""
    with engine.connect() as connection:
        return str(connection.execute(text("SHOW statement_timeout")).scalar_one())


def test_a_slow_statement_ends(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement ends at the limit, whatever the server's language; the next one has the full time."""
    monkeypatch.setattr(time_limit, "SECONDS", 0.05)
    time_limit.TimeLimit(engine)
    with engine.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert time_limit.is_out_of_time(raised.value.orig or raised.value)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(0.01)"))
        assert not time_limit.is_out_of_time(ValueError("statement timeout"))


def test_a_lower_limit_stays(engine: Engine) -> None:
    """A regular expression, with its own limit, does not raise the console's; nor does the console."""
    time_limit.TimeLimit(engine)
    assert limit(engine) == "20s"
    condition(["model % 'x'"], engine)
    assert limit(engine) == "20s"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL statement_timeout = 500"),
                 insert=True)  # fmt: skip
    assert limit(engine) == "500ms"


def test_a_slow_page(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page gives advice; the console continues."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
    with serving(engine) as served, httpx.Client(base_url=served.address, headers=headers, trust_env=False) as client:
        assert client.get("/", params={"q": "model ~ 'k*'"}).status_code == 200
        monkeypatch.setattr(time_limit, "SECONDS", 0.05)
        event.listen(engine, "before_cursor_execute", sleep, retval=True)
        result = client.get("/", params={"q": "model ~ 'k*'"})
        event.remove(engine, "before_cursor_execute", sleep)
        assert client.get("/overview").json()["calls"] == 0
    assert result.status_code == 503
    assert "narrow the filter" in result.json()["error"]["message"]


def test_it_stops_at_once(engine: Engine) -> None:
    """Running queries end when the console stops, and no new ones begin."""
    limit = time_limit.TimeLimit(engine)

    def wait() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_sleep(30)"))

    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(wait)
        until(lambda: is_asleep(engine))
        limit.stop()
        assert time_limit.is_out_of_time(cast(DBAPIError, running.exception(10)).orig or ValueError())
    with pytest.raises(StoreError, match="is stopping"):
        wait()
    limit.close()
    assert not is_asleep(engine)


def test_a_transaction_that_has_begun_when_it_stops(engine: Engine) -> None:
    """Its next statement is not sent, so that it does not run until its limit."""
    limit = time_limit.TimeLimit(engine)
    with engine.connect() as connection, connection.begin():
        limit.stop()
        with pytest.raises(StoreError, match="is stopping"):
            connection.execute(text("SELECT 1"))
    limit.close()
    assert not limit._running


def test_a_connection_that_dies(engine: Engine) -> None:
    """Its error is raised, and no reference to it is kept."""
    limit = time_limit.TimeLimit(engine)
    with pytest.raises(DBAPIError) as raised, engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert raised.value.connection_invalidated
    assert not limit._running


def test_a_limit_that_cannot_be_set(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that fails to begin leaves nothing behind."""
    limit = time_limit.TimeLimit(engine)

    def fail(*_: object) -> None:
        raise StoreError("no limit")

    monkeypatch.setattr(time_limit, "limit_statements", fail)
    with engine.connect() as connection, pytest.raises(StoreError, match="no limit"):
        connection.begin()
    assert not limit._running


def test_a_connection_to_sqlite_that_dies(store: Store) -> None:
    """Its transaction can be rolled back."""
    limit = time_limit.TimeLimit(store.engine)
    with store.engine.connect() as connection, connection.begin() as transaction:
        connection.invalidate()
        transaction.rollback()
    limit.close()


def test_who_watches_while_the_console_stops(store: Store) -> None:
    """Reading is no longer possible; that is not an error."""

    async def watch() -> None:
        limit = time_limit.TimeLimit(store.engine)
        with ThreadPoolExecutor(1) as executor:
            watcher = Watcher(store.engine, executor)
            async with watcher.changes() as changed:
                limit.stop()
                closing = asyncio.create_task(watcher.close())
                await changed.wait()
            await closing
        limit.close()

    asyncio.run(watch())


def is_asleep(engine: Engine) -> bool:
    """Return whether another connection sleeps."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    with engine.connect() as connection:
        return bool(connection.execute(text(query)).scalar())


def sleep(_: object, __: object, statement: str, parameters: object, *___: object) -> tuple[str, object]:
    """Make queries of calls slow."""
    return ("SELECT pg_sleep(30)", ()) if "FROM exchanges" in statement else (statement, parameters)


def test_many_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many fast statements together end at the limit, too."""
    assert list(time_limit.limited([1, 2])) == [1, 2]
    monkeypatch.setattr(time_limit, "SECONDS", -1.0)
    with pytest.raises(StoreError, match="narrow the filter"):
        list(time_limit.limited([time.monotonic(), 2]))

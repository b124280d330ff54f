"""The PostgreSQL server of the tests leaves nothing behind."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from tests.postgres_server import Databases, EmptyStore, PostgresServer, databases, deletion
from tests.waiting import until

HOLD = """
from tests.postgres_server import PostgresServer
server = PostgresServer()
print(server.url(), flush=True)
input()
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'call'::regclass"


def folder_of(url: str) -> Path:
    return Path(str(make_url(url).query["host"]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_who_started_it(number: int) -> None:
    """However its parent process ended, the server's processes and files are gone soon after."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONPATH": "."},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert holder.stdout is not None
    folder = folder_of(holder.stdout.readline().strip())
    server = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(server, 0)
    holder.send_signal(number)
    holder.communicate(timeout=60)
    until(lambda: not folder.exists())
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_a_server_stops_crashes_and_starts_again(postgres_server: PostgresServer) -> None:
    """After a stop and after a crash it does not answer; committed data is there after the restart."""
    engine = create_engine(postgres_server.url(), poolclass=NullPool)
    postgres_server.execute("CREATE TABLE kept (number int)")
    for number, end in enumerate((postgres_server.stop, postgres_server.crash)):
        with engine.begin() as connection:
            connection.execute(text(f"INSERT INTO kept VALUES ({number})"))
        end()
        with pytest.raises(OperationalError), engine.connect():
            pass
        postgres_server.start()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM kept")).scalar() == 2


def test_servers_of_a_run_are_copies_of_one_cluster() -> None:
    """Creating a cluster takes longer than most tests: successive servers have the same identifier."""
    found = set[str]()
    for _ in range(2):
        server = PostgresServer()
        with create_engine(server.url(), poolclass=NullPool).connect() as connection:
            found.add(str(connection.execute(text("SELECT system_identifier FROM pg_control_system()")).scalar_one()))
        server.close()
    assert len(found) == 1


def test_another_server_can_be_used(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`MOONPALACE_TEST_POSTGRES` names an existing server."""
    monkeypatch.setenv("MOONPALACE_TEST_POSTGRES", postgres_server.url())
    with databases() as found, found.database() as name:
        assert not isinstance(found, PostgresServer)
        assert make_url(found.url(name)).database == name
        assert folder_of(found.url(name)) == folder_of(postgres_server.url())


def test_a_store_is_emptied_after_each_test(postgres: Databases) -> None:
    """Rows, their numbers and waiting sessions are gone; after any other change the database is a new one."""
    with postgres.database() as template:
        with create_engine(postgres.url(template), poolclass=NullPool).begin() as connection:
            connection.execute(text("CREATE TABLE version (number int); INSERT INTO version VALUES (1)"))
            connection.execute(text("CREATE TABLE call (id bigint GENERATED ALWAYS AS IDENTITY, number int)"))
        store = EmptyStore(postgres, template)
        for number in (1, 2):
            with create_engine(store.url, poolclass=NullPool).connect() as connection:
                insert = text(f"INSERT INTO call (number) VALUES ({number}) RETURNING id, (SELECT count(*) FROM call)")
                assert connection.execute(insert).one() == (1, 0)
                connection.commit()
                connection.execute(text("LOCK TABLE call"))
                store.clear()
                connection.invalidate()
        for change in (
            "UPDATE version SET number = 2",
            "CREATE INDEX calls ON call (id)",
            "GRANT ALL ON call TO public",
        ):
            before = store.url
            with create_engine(store.url, poolclass=NullPool).begin() as connection:
                connection.execute(text(change))
            store.clear()
            assert store.url != before
        store.close()


def test_rows_that_come_while_a_table_is_emptied(postgres: Databases) -> None:
    """A session that ends may commit a last time: its rows are waited for, and deleted."""
    with postgres.database() as name:
        engine = create_engine(postgres.url(name), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as one, engine.connect() as other, ThreadPoolExecutor(1) as thread:
            for statement in ("CREATE TABLE call (number int)", "BEGIN", "INSERT INTO call VALUES (1)"):
                one.execute(text(statement))
            emptied = thread.submit(other.execute, text(deletion(["call"])))
            until(lambda: emptied.done() or one.execute(text(WAITING)).scalar())
            one.execute(text("COMMIT"))
            emptied.result()
            assert one.execute(text("SELECT count(*) FROM call")).scalar() == 0

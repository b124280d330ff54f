"""Tests of connecting to PostgreSQL."""

import re
import sys
import time

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import engine as engine_module
from moonpalace_addons.store.database import postgres
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from tests.postgres_server import Databases, PostgresServer
from tests.store.database.at_once import open_at_once


def value(engine: Engine, query: str) -> object:
    with engine.connect() as connection:
        return connection.execute(text(query)).scalar()


def refused(url: str) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(url, create=True)
    message = str(caught.value)
    assert "\n" not in message
    assert "hunter22" not in message
    return message


def test_a_blank_database_becomes_a_store(postgres_blank_url: str) -> None:
    """Tables are created, whether the URL names the driver or not, and a second opening changes nothing."""
    keys = []
    for url in (postgres_blank_url.replace("+psycopg", ""), postgres_blank_url):
        engine = open_store(url)
        keys.append(value(engine, "SELECT encode(fingerprint_key, 'hex') FROM store_identity"))
        engine.dispose()
    assert len(str(keys[0])) == 64
    assert keys[0] == keys[1]


def test_many_processes_can_make_a_store_at_once(postgres_blank_url: str) -> None:
    """Several processes that open the same empty database together all succeed, and one of them creates the tables."""
    open_at_once(postgres_blank_url)
    engine = open_store(postgres_blank_url)
    assert value(engine, "SELECT count(*) FROM store_identity") == 1
    engine.dispose()


def test_a_session_has_our_settings(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session has the lock timeout of SQLite, its application name, and this machine's time zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    engine = open_store(postgres_url)
    names = ("lock_timeout", "application_name", "TimeZone", "idle_in_transaction_session_timeout")
    assert [value(engine, f"SHOW {name}") for name in names] == ["5s", "moonpalace", "Asia/Tokyo", "0"]
    with writing(engine) as connection:
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "1min"
    engine.dispose()


@pytest.mark.parametrize(
    ("query", "setting", "expected"),
    [
        ("application_name=team", "application_name", "team"),
        ("options=-c lock_timeout=7s", "lock_timeout", "7s"),
        ("options=-c lock_timeout=7s", "TimeZone", "America/Caracas"),
        ("connect_timeout=3", "lock_timeout", "5s"),
    ],
)
def test_the_url_has_the_last_word(postgres_url: str, query: str, setting: str, expected: str) -> None:
    """Settings in a URL's query take precedence; with `options`, ours are not set."""
    engine = open_store(f"{postgres_url}&{query}")
    assert value(engine, f"SHOW {setting}") == expected
    engine.dispose()


@pytest.mark.parametrize("zone", ["Mars/Olympus", ":Mars/Olympus", "localtime-of-nobody"])
def test_a_zone_that_the_server_does_not_know_is_an_offset(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """If the server does not know this machine's zone by name, its offset is used."""
    monkeypatch.setattr(postgres, "local_zone", lambda: zone)
    monkeypatch.setattr(postgres, "fixed_offset", lambda _: "<local>-05:30")
    engine = open_store(postgres_url)
    assert value(engine, "SELECT to_char(to_timestamp(0), 'HH24:MI')") == "05:30"
    engine.dispose()


@pytest.mark.parametrize(
    ("zone", "expected"), [("Asia/Kolkata", "-05:30"), ("America/St_Johns", "+03:30"), ("UTC", "-00:00")]
)
def test_the_offset_of_a_zone(monkeypatch: pytest.MonkeyPatch, zone: str, expected: str) -> None:
    """Hours east of Greenwich are negative, as in POSIX."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert postgres.fixed_offset(1_767_225_600) == f"<local>{expected}"
    monkeypatch.undo()
    time.tzset()


def test_who_is_alone_waits_for_all_that_write(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several can write at once; an exclusive writer waits for them, and they for it; readers never wait."""
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT", 0.05)
    first, second = open_store(postgres_url), open_store(postgres_url)
    with writing(first), writing(second):
        assert value(second, "SELECT count(*) FROM runs") == 0
        with pytest.raises(OperationalError, match="lock timeout"), writing(second, alone=True):
            pass
    with writing(first, alone=True):
        assert value(second, "SELECT count(*) FROM runs") == 0
        for alone in (False, True):
            with pytest.raises(OperationalError, match="lock timeout"), writing(second, alone=alone):
                pass
    with writing(second, alone=True):
        pass
    first.dispose()
    second.dispose()


def test_who_is_patient_waits_longer(postgres_url: str) -> None:
    """Patience only applies to one transaction."""
    engine = open_store(postgres_url)
    with writing(engine, alone=True, patience=60) as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "1min"
    with writing(engine, alone=True) as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "5s"
    engine.dispose()


def test_a_suspended_writer_does_not_keep_the_others(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle transaction with a lock is ended by the server, and the others continue."""
    monkeypatch.setattr(postgres, "IDLE_TIMEOUT", 0.1)
    first, second = open_store(postgres_url), open_store(postgres_url)
    change = text("UPDATE store_identity SET id = id")

    def suspend() -> None:
        with writing(first) as held:
            held.execute(change)
            with writing(second) as waiting:
                waiting.execute(change)
            held.execute(change)

    with pytest.raises(DBAPIError) as caught:
        suspend()
    assert postgres.is_unavailable(caught.value)
    with writing(first) as again:
        again.execute(change)
    first.dispose()
    second.dispose()


def test_a_session_of_a_server_that_was_restarted_is_replaced(postgres_server: PostgresServer) -> None:
    """The first use after a restart does not fail."""
    with postgres_server.database() as name:
        engine = open_store(postgres_server.url(name), create=True)
        postgres_server.stop()
        with pytest.raises(OperationalError) as caught, engine.connect():
            pass
        postgres_server.start()
        assert value(engine, "SELECT count(*) FROM runs") == 0
        engine.dispose()
    assert postgres.is_unavailable(caught.value)


def lose_midway(engine: Engine) -> None:
    """Leave a connection in psycopg's state after the server closed it during statements: it accepts no command."""
    with writing(engine) as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.pgconn.enter_pipeline_mode()
        raise OperationalError("", None, psycopg.OperationalError())


def test_a_session_that_cannot_roll_back_is_given_up_quietly(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection lost during statements is replaced, and the log only has our message."""
    engine = open_store(postgres_url)
    with pytest.raises(OperationalError, match="pipeline"):
        lose_midway(engine)
    with writing(engine) as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("statement", "unavailable"),
    [
        ("SET transaction_read_only = on; INSERT INTO runs VALUES ('r', '', 1, '', 1, 1)", True),
        ("SET statement_timeout = 1; SELECT pg_sleep(10)", True),
        ("SET ROLE pg_read_all_data; INSERT INTO runs VALUES ('r', '', 1, '', 1, 1)", True),
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
        ("SELECT * FROM no_such_table", True),
        ("INSERT INTO runs VALUES (NULL)", False),
        ("INSERT INTO store_identity SELECT * FROM store_identity", False),
        ("SELECT 1 / 0", False),
        ("SELECT no_such_column FROM runs", False),
    ],
)
def test_what_is_worth_waiting_for(postgres_url: str, statement: str, unavailable: bool) -> None:
    """A database that is read-only, missing or forbidden may recover; a refused row stays refused."""
    engine = open_store(postgres_url)

    def run() -> None:
        with engine.connect() as connection, connection.begin():
            for part in statement.split("; "):
                connection.execute(text(part))

    with pytest.raises(DBAPIError) as caught:
        run()
    assert postgres.is_unavailable(caught.value) is unavailable
    engine.dispose()


def test_no_content_stands_in_an_error(postgres_url: str) -> None:
    """Errors, which are logged, do not contain the written data."""
    engine = open_store(postgres_url)
    with pytest.raises(SQLAlchemyError) as caught, engine.connect() as connection:
        connection.execute(
            text("INSERT INTO runs (id, host) VALUES (:id, :host)"), {"id": "r", "host": "private words"}
        )
    assert "private words" not in str(caught.value).partition("DETAIL")[0]
    engine.dispose()


def test_a_missing_database_is_named_with_what_to_do(postgres: Databases) -> None:
    """The error says which database is missing, and how to create it."""
    message = refused(postgres.url("no_such_database"))
    assert re.fullmatch(
        r'cannot open postgresql://\S+: connection to server .* failed: FATAL: database "no_such_database" '
        r"does not exist; create it first \(createdb\); its tables come by themselves",
        message,
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://me:hunter22@127.0.0.1:1/store",
            'cannot open postgresql://me:***@127.0.0.1:1/store: connection to server at "127.0.0.1", port 1 failed:'
            " Connection refused; is the server running there?",
        ),
        (
            "postgresql+psycopg://127.0.0.1:1/store?user=me&password=hunter22",
            "cannot open postgresql://127.0.0.1:1/store?password=***&user=me: connection to server at"
            ' "127.0.0.1", port 1 failed: Connection refused; is the server running there?',
        ),
        (
            "postgresql:///store?host=/no/such/folder",
            "cannot open postgresql:///store?host=%2Fno%2Fsuch%2Ffolder: connection to server on socket"
            ' "/no/such/folder/.s.PGSQL.5432" failed: No such file or directory; is the server running there?',
        ),
        (
            "postgresql://me:hunter22@127.0.0.1:1/store?sslmode=nonsense",
            'cannot open postgresql://me:***@127.0.0.1:1/store?sslmode=nonsense: invalid sslmode value: "nonsense"',
        ),
        (
            "postgresql://me:half@hunter22@host/store",
            "the database's URL has several @: write one in a user or password as %40",
        ),
        (
            "mysql://me:hunter22@host/store",
            "the database cannot be mysql: calls are kept in SQLite (a path) or in PostgreSQL"
            " (postgresql://user@host/name)",
        ),
        (
            "postgresql+psycopg2://me:hunter22@host/store",
            "the database cannot be postgresql+psycopg2: calls are kept in SQLite (a path) or in PostgreSQL"
            " (postgresql://user@host/name)",
        ),
    ],
)
def test_a_database_that_cannot_be_reached_is_named(url: str, message: str) -> None:
    """The error says in one line what is wrong and where, without the password."""
    assert refused(url) == message


def test_a_missing_driver_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the driver the error says how to install it."""
    for name in ("psycopg", "psycopg.adapt"):
        monkeypatch.setitem(sys.modules, name, None)
    assert refused("postgresql://me:hunter22@host/store") == (
        "cannot open postgresql://me:***@host/store: the driver is missing, install it: pip install 'psycopg[binary]'"
    )


def test_a_database_of_another_encoding_is_refused(postgres: Databases) -> None:
    """A database that cannot hold every text is refused before there is a table in it."""
    with postgres.database(encoding="LATIN1") as name:
        url = postgres.url(name)
        assert refused(url).endswith("has the encoding LATIN1: create the database with ENCODING 'UTF8'")
        with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as connection:
            row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row == (0,)


def test_tables_of_others_are_refused(postgres_blank_url: str) -> None:
    """A database of another program is refused."""
    with psycopg.connect(make_url(postgres_blank_url).set(drivername="postgresql").render_as_string(False)) as other:
        other.execute("CREATE TABLE people (name text)")
    assert refused(postgres_blank_url).endswith(
        "holds other tables than MoonPalace's: give another database with --database"
    )


def test_who_may_only_read_can_open_a_store(postgres_url: str, postgres: Databases) -> None:
    """A user with only the right to read can open an existing store."""
    engine = open_store(postgres_url)
    name = f"reader_{make_url(postgres_url).database}"
    postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hunter22'")
    try:
        with writing(engine) as connection:
            connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"))
        reader = open_store(make_url(postgres_url).set(username=name, password="hunter22").render_as_string(False))
        assert value(reader, "SELECT count(*) FROM exchanges") == 0
        reader.dispose()
        with writing(engine) as connection:
            connection.execute(text(f"DROP OWNED BY {name}"))
    finally:
        postgres.execute(f"DROP ROLE {name}")
        engine.dispose()

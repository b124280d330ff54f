"""Tests of distinguishing a failing store from a refused call."""

import logging
import sqlite3

import pytest
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.outage import Outage, is_refusal, is_store_failure, words
from tests.tables import for_each


def sqlite(kind: type[DBAPIError], code: int = 0) -> DBAPIError:
    error = sqlite3.Error("words\nand more")
    error.sqlite_errorcode = code
    return kind("INSERT", None, error)


class ServerError(Exception):
    """An error as the PostgreSQL driver raises it."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def server(kind: type[DBAPIError], sqlstate: str, *, lost: bool = False) -> DBAPIError:
    return kind("INSERT", None, ServerError(sqlstate), connection_invalidated=lost)


@for_each(
    ("error", "waits", "refused"),
    [
        (sqlite(OperationalError, sqlite3.SQLITE_BUSY), True, False),
        (sqlite(OperationalError, sqlite3.SQLITE_FULL), True, False),
        (sqlite(OperationalError, sqlite3.SQLITE_READONLY), True, False),
        (sqlite(OperationalError, sqlite3.SQLITE_IOERR), True, False),
        (sqlite(OperationalError, sqlite3.SQLITE_CANTOPEN), True, False),
        (sqlite(DatabaseError, sqlite3.SQLITE_CORRUPT), True, False),
        (sqlite(DatabaseError, sqlite3.SQLITE_NOTADB), True, False),
        (sqlite(OperationalError, sqlite3.SQLITE_ERROR), False, False),
        (sqlite(IntegrityError, sqlite3.SQLITE_CONSTRAINT), False, True),
        (sqlite(DataError, sqlite3.SQLITE_TOOBIG), False, True),
        (sqlite(ProgrammingError), False, False),
        (server(OperationalError, "57P01"), True, False),
        (server(OperationalError, "57P03"), True, False),
        (server(OperationalError, "40001"), True, False),
        (server(OperationalError, "40P01"), True, False),
        (server(OperationalError, "53100"), True, False),
        (server(InterfaceError, "", lost=True), True, False),
        (server(InternalError, "25006"), True, False),
        (server(ProgrammingError, "42501"), True, False),
        (server(ProgrammingError, "42703"), False, False),
        (server(DataError, "22021"), False, True),
        (OSError(28, "No space left on device"), True, False),
        (StoreError("another's tables"), True, False),
        (ZeroDivisionError("ours"), False, True),
    ],
)
def test_whose_fault_an_error_is(error: Exception, waits: bool, refused: bool) -> None:
    """Some errors are temporary, some concern the data, and some depend on whether other calls succeed."""
    assert (is_store_failure(error), is_refusal(error) and not is_store_failure(error)) == (waits, refused)


def test_words_are_one_line() -> None:
    """An error is described by its first line without the statement, or by its name."""
    assert words(sqlite(OperationalError)) == "words"
    assert words(StoreError("gone")) == "gone"
    assert words(KeyError()) == "KeyError"


def test_a_trouble_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line reports its beginning, whatever else follows, and one its end; the next one is reported again."""
    outage = Outage()
    outage.over()
    for _ in range(2):
        assert outage.duration == 0.0
        outage.report(StoreError("locked"))
        outage.report(StoreError("full"))
        assert (outage.words, outage.duration > 0.0) == ("full", True)
        outage.over()
        outage.over()
    assert (
        caplog.messages
        == [
            "store: locked; calls continue, their rows wait in memory",
            "store: works again",
        ]
        * 2
    )
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_calls_that_waited(caplog: pytest.LogCaptureFixture) -> None:
    """Calls stored from the beginning of an outage until none waits are counted; others are not."""
    outage = Outage()
    outage.count(1)
    outage.caught_up()
    outage.report(StoreError("locked"))
    outage.count(2)
    outage.over()
    outage.count(3)
    outage.caught_up()
    outage.count(4)
    outage.caught_up()
    assert caplog.messages[2:] == ["store: 5 calls that had waited are stored"]

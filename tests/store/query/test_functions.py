"""Tests of the setup of connections for predicates."""

from __future__ import annotations

from sqlalchemy import event, text

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.query import functions
from moonpalace_addons.store.query.condition import condition
from tests.store.query.conftest import Calls


def test_functions_are_there_once(filled_sqlite: Calls) -> None:
    """A connection of SQLite has the functions once, however often conditions are created, even an existing one."""
    engine = filled_sqlite.engine
    engine.connect().close()
    for _ in range(3):
        condition(["id == 1"], engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT moonpalace_regex('b+', CAST('abc' AS BLOB))")).scalar() == 1
        assert connection.execute(text("SELECT moonpalace_regex('b+', NULL)")).scalar() is None
        assert connection.execute(text("SELECT moonpalace_holds(CAST('月' AS BLOB), '月')")).scalar() == 1
        assert connection.execute(text("SELECT moonpalace_holds(NULL, '月')")).scalar() is None
    functions.install(engine)
    assert event.contains(engine, "checkout", functions.add_functions)


def test_regular_expressions_have_a_time_limit_on_postgresql(postgres_url: str) -> None:
    """A predicate with a regular expression limits the time of each statement; others do not."""
    engine = open_store(postgres_url)
    limits = []
    for predicate in ("model ~ 'x'", "not (id == 1 || model % 'x')"):
        condition([predicate], engine)
        with engine.begin() as connection:
            limits.append(connection.execute(text("SHOW statement_timeout")).scalar())
    engine.dispose()
    assert limits == ["0", "1min"]

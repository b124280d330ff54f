"""The run of a writer in its store."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.schema import RUNS
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.store.write.own_run import LIVING, OwnRun


def run_ids(engine: Engine) -> list[str]:
    """Return the ids of the runs in a store."""
    with engine.connect() as connection:
        return list(connection.execute(select(RUNS.c.id)).scalars())


def test_a_replaced_store(engine: Engine, file: Path, empty_store: Path) -> None:
    """The run is recorded in the new store; without a change nothing is done."""
    run = OwnRun(engine, new_run(), None, dict)
    key = run.begin()
    assert (run.follow(), run_ids(engine)) == (None, [run.id])
    file.unlink()
    shutil.copyfile(empty_store, file)
    assert run.follow() == key  # that of the empty store, of which both files are copies
    assert (run.follow(), run_ids(engine)) == (None, [run.id])


def test_a_store_that_was_unavailable(engine: Engine, file: Path) -> None:
    """A run that could not be recorded at first is recorded as soon as the store is available."""
    run = OwnRun(engine, new_run(), None, dict)
    aside = file.rename(file.with_suffix(".aside"))
    file.mkdir()
    engine.dispose()
    with pytest.raises(StoreError):
        run.begin()
    file.rmdir()
    aside.rename(file)
    assert run.follow() is not None
    assert run_ids(engine) == [run.id]


def test_heartbeat(engine: Engine) -> None:
    """A heartbeat has the columns of `status`; the end is recorded, and other writers may finish open calls."""
    run = OwnRun(engine, new_run(), None, lambda: {"version": "told"})
    run.begin()
    assert run.id in LIVING
    with writing(engine) as connection:
        run.touch(connection, ended=False)
    with engine.connect() as connection:
        assert connection.execute(select(RUNS.c.version, RUNS.c.ended_at)).one() == ("told", None)
    with writing(engine) as connection:
        run.touch(connection, ended=True)
    with engine.connect() as connection:
        assert connection.execute(select(RUNS.c.ended_at)).scalar_one() is not None
    run.end()
    assert run.id not in LIVING

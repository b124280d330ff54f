"""A store that is damaged during calls, and the check that no call was lost."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from moonpalace_addons.store.database.opening import open_store
from tests.e2e.launching import IMPATIENT, Proxy
from tests.faults import Load, all_over, assert_stored
from tests.waiting import until

SECONDS = float(os.environ.get("MOONPALACE_FAULT_SECONDS", "2"))
HASTE = IMPATIENT if SECONDS < 10 else {}
TROUBLE = "calls continue, their rows wait in memory"
OVER = "store: works again"
PAUSE = threading.Event()


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Open a store created by another process."""
    engine = open_store(url)
    try:
        yield engine
    finally:
        engine.dispose()


def database(folder: Path) -> Path:
    """Return the database of a proxy whose home is in `folder`."""
    return folder / "moonpalace" / "moonpalace.sqlite"


def integrity(file: Path) -> list[str]:
    with sqlite3.connect(file) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        found += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
    connection.close()
    return found


def survive(proxy: Proxy, url: str, hurt: object, *, pause: float = 0.2, trouble: bool = True) -> Load:
    """Damage a store under load; check that no call fails, that afterwards all are there, and the log is brief."""
    assert callable(hurt)
    load = Load(proxy.url, clients=8, pause=pause)
    until(lambda: len(load.answers) > 20)
    with hurt():
        begun = len(load.answers)
        if trouble:
            proxy.log.wait_for(TROUBLE)
        until(lambda: len(load.answers) > begun + 20)
    if trouble:
        proxy.log.wait_for(OVER)
    during = len(load.answers)
    until(lambda: len(load.answers) > during + 20)
    load.stop()
    assert load.broken == 0
    assert {answer.status for answer in load.answers.values()} == {200}
    with opened(url) as engine:
        until(lambda: all_over(engine, load.answers))
        proxy.stop()
        assert_stored(engine, load.answers)
    assert proxy.log.text.count(TROUBLE) == proxy.log.text.count(OVER) == int(trouble)
    return load

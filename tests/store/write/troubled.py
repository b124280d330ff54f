"""A switch that makes a writer's transactions fail, and the calls in the store and its journals."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from moonpalace_addons.store.database import engine as engine_module
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.write.writer import Writer
from tests.tasks import ended, request_read, response_started

LOCKED = OperationalError("COMMIT", None, sqlite3.OperationalError("database is locked"))
type Start = Callable[..., Writer]


class Switch:
    """Make the writer's transactions fail, at their beginning or at their commit."""

    def __init__(self) -> None:
        self.fails: str | None = None
        self.failed = threading.Event()

    @contextmanager
    def writing(self, engine: Engine) -> Iterator[Connection]:
        """Replace the real one."""
        fails = self.fails
        if fails == "begin":
            self.failed.set()
            raise LOCKED
        with engine_module.writing(engine) as connection:
            yield connection
        if fails == "commit":
            self.failed.set()
            raise LOCKED


def rows(engine: Engine) -> list[Exchange]:
    return exchanges.latest(engine, limit=10_000)[::-1]


def journals(folder: Path) -> list[Path]:
    return list(folder.glob("*.journal"))


def run_row(engine: Engine) -> dict[str, object]:
    with engine.connect() as connection:
        return dict(connection.execute(text("SELECT * FROM runs")).mappings().one())


def put_calls(writer: Writer, count: int, size: int = 100) -> list[str]:
    """Put complete calls and return their uuids."""
    uuids = []
    for _ in range(count):
        call = request_read(body=b"x" * size)
        writer.put(call)
        writer.put(ended(call, response=response_started(call)))
        uuids.append(call.uuid)
    return uuids

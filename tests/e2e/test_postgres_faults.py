"""PostgreSQL servers that fail under load."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from moonpalace_addons.store.write.writer import JOIN_TIMEOUT
from tests.e2e.launching import Launcher
from tests.e2e.surviving import HASTE, PAUSE, SECONDS, opened, survive
from tests.faults import Load, assert_stored
from tests.postgres_server import PostgresServer
from tests.scenarios.server import MockServer
from tests.waiting import until


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_postgresql_server_that_restarts_costs_no_call(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer, how: str
) -> None:
    """While the server is down calls continue; when it is back, the proxy reconnects and stores each of them once."""

    @contextmanager
    def hurt() -> Iterator[None]:
        getattr(postgres_server, how)()
        yield
        PAUSE.wait(SECONDS / 6)
        postgres_server.start()

    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start("--database", url, endpoint=mock.url) as proxy:
            survive(proxy, url, hurt)


def test_a_postgresql_server_that_stands_still_costs_no_call(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer
) -> None:
    """While the server accepts connections but does not answer calls continue; afterwards each is stored once."""

    @contextmanager
    def hurt() -> Iterator[None]:
        postgres_server.freeze()
        yield
        postgres_server.thaw()

    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start("--database", f"{url}&connect_timeout=2", endpoint=mock.url, extra=HASTE) as proxy:
            survive(proxy, url, hurt)


def test_a_stop_while_the_server_stands_still_has_a_bound(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer
) -> None:
    """A proxy that is stopped while the server does not answer leaves a journal, within the time limit."""
    folder = launch.folder()
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start(
            "--database", f"{url}&connect_timeout=2", endpoint=mock.url, folder=folder, extra=HASTE
        ) as proxy:
            load = Load(proxy.url, clients=4)
            until(lambda: len(load.answers) > 50)
            postgres_server.freeze()
            begun = len(load.answers)
            until(lambda: len(load.answers) > begun + 50)
            load.stop()
            proxy.process.send_signal(signal.SIGTERM)
            assert proxy.process.wait(JOIN_TIMEOUT + 5) == 0
        (journal,) = (folder / "moonpalace").glob("postgresql-*.journal")
        postgres_server.thaw()
        with (
            launch.start("--database", f"{url}&connect_timeout=2", endpoint=mock.url, folder=folder),
            opened(url) as engine,
        ):
            until(lambda: not journal.exists())
            assert_stored(engine, load.answers)


def test_a_stop_without_a_server_leaves_a_journal_at_home(
    launch: Launcher, mock: MockServer, postgres_server: PostgresServer
) -> None:
    """Calls that the server could not take before the proxy ended are in the home folder, and stored next time."""
    folder = launch.folder()
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        with launch.start("--database", url, endpoint=mock.url, folder=folder, extra=HASTE) as proxy:
            postgres_server.stop()
            load = Load(proxy.url, clients=4)
            until(lambda: len(load.answers) > 50)
            load.stop()
            proxy.stop()
        (journal,) = (folder / "moonpalace").glob("postgresql-*.journal")
        postgres_server.start()
        with launch.start("--database", url, endpoint=mock.url, folder=folder), opened(url) as engine:
            until(lambda: not journal.exists())
            assert_stored(engine, load.answers)

"""Serve the console."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tornado.httpserver import HTTPServer
from tornado.web import Application

from moonpalace_addons.engine.own_addresses import machine_names
from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.database.engine import shown
from moonpalace_addons.store.records import identity
from moonpalace_cli.listening import listening
from moonpalace_cli.web.access import Access
from moonpalace_cli.web.console import Console
from moonpalace_cli.web.explainer import Explainer
from moonpalace_cli.web.pages.call_page import CallPage, RawPage
from moonpalace_cli.web.pages.compare_page import ComparePage
from moonpalace_cli.web.pages.complete_page import CompletePage
from moonpalace_cli.web.pages.explain_group_page import ExplainGroupPage
from moonpalace_cli.web.pages.explain_page import ExplainPage
from moonpalace_cli.web.pages.export_page import ExportPage
from moonpalace_cli.web.pages.label_page import LabelPage
from moonpalace_cli.web.pages.list_page import ListPage
from moonpalace_cli.web.pages.live_page import LivePage
from moonpalace_cli.web.pages.overview_page import OverviewPage
from moonpalace_cli.web.pages.static_page import MissingPage, StaticPage
from moonpalace_cli.web.tabs import TABS
from moonpalace_cli.web.time_limit import TimeLimit
from moonpalace_cli.web.watching import Watcher

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings

THREADS = 4
"""Concurrent reads of the store."""
MAX_BODY_SIZE = 1 << 20
"""Maximum bytes of a request: labels are short."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
CALL = "/calls/([0-9]{1,19})"


@dataclass(frozen=True, slots=True)
class Options:
    """Where the console listens, and its other options; without a token it generates one."""

    host: str
    port: int
    token: str | None = None
    redact_pattern: str | None = None
    port_flag: str = "--port"
    """How the user chooses another port."""
    settings: Settings | None = None
    """The settings of the model that explains calls; without them there is no page for it."""


@dataclass(frozen=True, slots=True)
class Served:
    """A listening console: its address, and who may see it."""

    address: str
    access: Access

    @property
    def url(self) -> str:
        """The address with the token."""
        return f"{self.address}/?token={self.access.token}"

    def ticket_url(self) -> str:
        """Return an address that can be used once."""
        return f"{self.address}/?token={self.access.ticket()}"


async def serve(engine: Engine, options: Options, is_ready: Callable[[Served], None], stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set; raise MoonPalaceError if the address cannot be used."""
    try:
        sockets = listening(options.host, options.port)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else str(error)
        place = f"{options.host}:{options.port}"
        hint = f"{options.port_flag} 0 takes a free port"
        raise MoonPalaceError(f"the console cannot listen on {place}: {reason}; {hint}") from error
    port = sockets[0].getsockname()[1]
    with closing(TimeLimit(engine)) as limit, ThreadPoolExecutor(THREADS, "console") as executor:
        console = make_console(engine, executor, limit, port, options)
        server = HTTPServer(make_application(console), max_body_size=MAX_BODY_SIZE, max_buffer_size=MAX_BODY_SIZE)
        server.add_sockets(sockets)
        host = f"[{options.host}]" if ":" in options.host else options.host
        is_ready(Served(f"http://{host}:{port}", console.access))
        await stopping.wait()
        server.stop()
        await asyncio.to_thread(limit.stop)
        await server.close_all_connections()
        await console.watcher.close()


def make_console(
    engine: Engine, executor: ThreadPoolExecutor, limit: TimeLimit, port: int, options: Options
) -> Console:
    """Return the state that the pages of a console on a port share."""
    with engine.connect() as connection:
        key = identity.fingerprint_key(connection)
    names = frozenset() if options.host in LOOPBACK else machine_names() | {options.host.lower()}
    return Console(
        engine,
        Access(key, options.token, names),
        executor,
        limit,
        Watcher(engine, executor),
        shown(engine.url),
        f"mpal_console_{port}",
        options.redact_pattern,
        None if options.settings is None else Explainer(engine, options.settings, os.environ),
    )


def make_application(console: Console) -> Application:
    """Return the pages by their addresses."""
    shared = {"console": console}
    tabs = "|".join(filter(None, TABS))
    pages = [
        (r"/", ListPage),
        (r"/overview", OverviewPage),
        (r"/live", LivePage),
        (r"/compare", ComparePage),
        (r"/explain", ExplainGroupPage),
        (r"/complete", CompletePage),
        (CALL, CallPage),
        (rf"{CALL}/({tabs})", CallPage),
        (rf"{CALL}/(request|response)/raw", RawPage),
        (rf"{CALL}/labels", LabelPage),
        (rf"{CALL}/export", ExportPage),
        (rf"{CALL}/explain", ExplainPage),
        (r"/static/([a-z.]+)", StaticPage),
    ]
    return Application(
        [(path, page, shared) for path, page in pages],
        default_handler_class=MissingPage,
        default_handler_args=shared,
        log_function=lambda _: None,
    )

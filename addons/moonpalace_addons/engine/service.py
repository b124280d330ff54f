"""State shared by all connections of one server: hooks, limits, options and the pool of API connections."""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakSet

from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.utils import human

from moonpalace_addons.calls.ordered_uuid import ordered_uuid
from moonpalace_addons.engine.api import Pool
from moonpalace_addons.engine.client import ClientConnection
from moonpalace_addons.engine.connecting import Connector
from moonpalace_addons.engine.framing import plain_answer
from moonpalace_addons.engine.hooks import Hooks
from moonpalace_addons.engine.limits import Limits
from moonpalace_addons.engine.receiving import make_buffer
from moonpalace_addons.engine.targets import Target, parse_endpoint
from moonpalace_addons.engine.tls import describe
from moonpalace_addons.wire.faces.table import error_body

logger = logging.getLogger(__name__)

SERVICES: "WeakSet[Service]" = WeakSet()
"""All started servers: connections outlive the listening sockets."""

CHECK_INTERVAL = 1.0
"""Seconds between checks of all connections for timeouts."""
MIN_IDLE_TIME = 1.0
"""Seconds after which an idle connection may be closed for a new one."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The mitmproxy options that apply to the engine."""

    store_streamed: bool
    stream_above: int | None
    verify: bool
    ca_file: str | None
    ca_folder: str | None
    client_cert: str | None

    @classmethod
    def of(cls, options: Options) -> "EngineOptions":
        """Return the current values."""
        return cls(
            store_streamed=options.store_streamed_bodies,
            stream_above=human.parse_size(options.stream_large_bodies),
            verify=not options.ssl_insecure,
            ca_file=options.ssl_verify_upstream_trusted_ca,
            ca_folder=options.ssl_verify_upstream_trusted_confdir,
            client_cert=options.client_certs,
        )


class Service:
    """One server and the state shared by its connections."""

    def __init__(self, master: Master, endpoint: str, limits: Limits) -> None:
        self.hooks = Hooks(master.addons)
        self._master = master
        self.options = EngineOptions.of(master.options)
        self.limits = limits
        self.endpoint = scheme, host, port = parse_endpoint(endpoint)
        self.scheme = scheme.encode()
        self.target = Target(scheme, host, port, None)
        self.mode = ProxyMode.parse(f"reverse:{endpoint}")
        self.pool = Pool()
        self.buffer = make_buffer()
        self.connector = Connector(self)
        self.connections: dict[ClientConnection, None] = {}
        self._partial: dict[ClientConnection, None] = {}
        self._idle: OrderedDict[ClientConnection, None] = OrderedDict()  # the one that has been idle longest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    # ---- connections ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start checking connections for timeouts, and following changes of mitmproxy's options."""
        self._master.options.changed.connect(self._options_changed)
        SERVICES.add(self)
        self._watch = asyncio.create_task(self._look())

    def _options_changed(self, updated: set[str]) -> None:
        self.options = EngineOptions.of(self._master.options)

    def client_of(self, transport: asyncio.Transport) -> Client:
        """Return mitmproxy's object for a client."""
        client = Client(
            id=ordered_uuid(),
            peername=transport.get_extra_info("peername") or ("", 0),
            sockname=transport.get_extra_info("sockname") or ("", 0),
            timestamp_start=time.time(),
            proxy_mode=self.mode,
            state=ConnectionState.OPEN,
        )
        if (found := transport.get_extra_info("ssl_object")) is not None:
            describe(client, found, time.time())
        return client

    @staticmethod
    def server_of(target: Target) -> Server:
        """Return mitmproxy's object for a server that is not connected."""
        address, is_tls = (target.host, target.port), target.scheme == "https"
        return Server(id=ordered_uuid(), address=address, via=target.via, tls=is_tls)  # type: ignore[arg-type]

    def opened(self, client: ClientConnection) -> None:
        """Add a connection; if there are too many, close the one that has been idle longest, or refuse this one."""
        self.connections[client] = None
        if len(self.connections) <= self.limits.max_connections:
            return
        oldest = next(iter(self._idle), None)
        if oldest is not None and oldest.last_active < time.monotonic() - MIN_IDLE_TIME:
            del self._idle[oldest]
            oldest.close()
            return
        logger.warning("refused a client: %d connections are open", len(self.connections) - 1)
        client.write(plain_answer(503, error_body("the proxy has too many connections", "server_unavailable")))
        client.close()

    def closed(self, client: ClientConnection) -> None:
        """Remove a connection."""
        self.connections.pop(client, None)
        self._partial.pop(client, None)
        self._idle.pop(client, None)

    def idle(self, client: ClientConnection) -> None:
        """Note that a connection waits for its next request, and may be closed for another one."""
        self._idle[client] = None
        self._idle.move_to_end(client)

    def busy(self, client: ClientConnection) -> None:
        """Note that a connection has a request, or a part of one."""
        self._idle.pop(client, None)

    def track_partial(self, client: ClientConnection) -> None:
        """Track an incomplete request; above the limit, time out the oldest one."""
        self._partial[client] = None
        if len(self._partial) <= self.limits.max_partial_requests:
            return
        for oldest in list(self._partial):
            del self._partial[oldest]
            if oldest.reader.is_partial and oldest is not client:
                oldest.time_out()
                return

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background, and log its failure."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)
        return task

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a fault in MoonPalace in a background task", exc_info=error)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            now = time.monotonic()
            for client in list(self.connections):
                with contextlib.suppress(RuntimeError):
                    client.check_timeouts(now)
            self.pool.close_idle(now - self.limits.api_idle_timeout)

    def drain(self) -> bool:
        """Close every connection after its current call; tell whether some are still busy."""
        return any([client.drain() for client in list(self.connections)])  # noqa: C419 - all of them

    def close(self) -> list[ClientConnection]:
        """Close all connections once pending data is sent; return those of clients."""
        clients = list(self.connections)
        for client in clients:
            client.close()
        self.pool.close_idle(float("inf"))
        if self._watch is not None:
            self._watch.cancel()
        return clients

    def protocol(self) -> "partial[ClientConnection]":
        """Return the factory of client connections."""
        return partial(ClientConnection, self)

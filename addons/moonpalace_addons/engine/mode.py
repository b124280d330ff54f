"""mitmproxy's proxy mode `moonpalace:URL`, with which it starts and stops the engine like its own servers.

Importing this module registers the mode. mitmproxy's addons that list servers (mitmweb) show it like any other.
"""

import asyncio
import errno
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from mitmproxy import ctx
from mitmproxy.net.free_port import get_free_port
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode

from moonpalace_addons.engine.limits import Limits, within_descriptors
from moonpalace_addons.engine.service import Service
from moonpalace_addons.engine.targets import parse_endpoint
from moonpalace_addons.engine.tls import client_context

BACKLOG = 1024
"""Length of the queue of connections to accept."""
ACCEPT_BATCH = 32
"""Connections accepted in one turn of the event loop; asyncio also retries this often without descriptors."""


class MoonPalaceMode(ProxyMode):
    """A reverse proxy to an API on MoonPalace's engine; `data` is the endpoint's URL."""

    description = "MoonPalace"
    transport_protocol: Literal["tcp", "udp", "both"] = "tcp"

    def __post_init__(self) -> None:
        """Check the endpoint; raise ValueError."""
        parse_endpoint(self.data)


@dataclass(slots=True)
class _ServerConfig:
    limits: Limits
    tls: ssl.SSLContext | None
    shares_port: bool = False


_config = _ServerConfig(Limits(), None)


def share_port() -> None:
    """Let servers started from now on share their port with other processes of this user."""
    _config.shares_port = True


def configure(limits: Limits, certificate: Path | None = None, key: Path | None = None) -> None:
    """Set the limits and the TLS certificate of servers started from now on."""
    _config.limits = limits
    _config.tls = client_context(certificate, key) if certificate is not None else None


class MoonPalaceServer(ServerInstance[MoonPalaceMode]):
    """The listening sockets of one engine."""

    service: Service | None = None
    speaks_tls = False
    _servers: tuple[asyncio.Server, ...] = ()

    @property
    def client_mode(self) -> ProxyMode:
        """Return the mode stored in flows: one that every mitmproxy can read."""
        return ProxyMode.parse(f"reverse:{self.mode.data}")

    @property
    def is_running(self) -> bool:
        """Tell whether the sockets are listening."""
        return bool(self._servers)

    @property
    def listen_addrs(self) -> tuple[tuple[str, int], ...]:
        """Return the addresses of the listening sockets."""
        return tuple(sock.getsockname() for server in self._servers for sock in server.sockets)

    def make_top_layer(self, context: object) -> NoReturn:
        """Raise NotImplementedError: the engine does not use mitmproxy's layers."""
        raise NotImplementedError("the engine has no layers")

    async def _start(self) -> None:
        host = self.mode.listen_host(ctx.options.listen_host)
        port = self.mode.listen_port(ctx.options.listen_port)
        service = Service(ctx.master, self.mode.data, within_descriptors(_config.limits))
        try:
            self._servers = (await self._listen(service, host, port or 0),)
        except OSError as error:
            message = f"{self.mode.description} failed to listen on {host or '*'}:{port} with {error}"
            if error.errno == errno.EADDRINUSE:
                message += "\nTry specifying another port."
            raise OSError(error.errno, message, error.filename) from error
        self.service = service
        self.speaks_tls = _config.tls is not None
        service.start()

    async def _listen(self, service: Service, host: str, port: int) -> asyncio.Server:
        if port == 0 and not host:
            port = get_free_port()  # the same for IPv4 and IPv6
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            service.protocol(),
            host or None,
            port,
            backlog=ACCEPT_BATCH,
            ssl=_config.tls,
            family=socket.AF_UNSPEC,
            reuse_port=_config.shares_port,
        )
        for listening in server.sockets:
            with listening.dup() as same:
                same.listen(BACKLOG)
        return server

    async def _stop(self) -> None:
        servers, self._servers = self._servers, ()
        for server in servers:
            server.close()  # existing connections continue, as with mitmproxy's own servers

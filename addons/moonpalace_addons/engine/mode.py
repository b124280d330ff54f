"""mitmproxy's mode `moonpalace:URL`, by which it starts and stops the engine as it does its own servers.

Importing this registers it. mitmproxy's own addons that show servers (mitmweb) see it as one of theirs.
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
"""Connections that wait to be accepted."""
AT_ONCE = 32
"""Connections that are accepted before anything else goes on; also how often asyncio tries without descriptors."""


class MoonPalaceMode(ProxyMode):
    """A reverse proxy to an API, on the engine of MoonPalace; `data` is the endpoint's URL."""

    description = "MoonPalace"
    transport_protocol: Literal["tcp", "udp", "both"] = "tcp"

    def __post_init__(self) -> None:
        """Check the endpoint; raise ValueError."""
        parse_endpoint(self.data)


@dataclass(slots=True)
class _Chosen:
    limits: Limits
    tls: ssl.SSLContext | None
    shares_port: bool = False


_chosen = _Chosen(Limits(), None)


def share_port() -> None:
    """Have servers that are started from now on listen where other processes of this user do, too."""
    _chosen.shares_port = True


def choose(limits: Limits, certificate: Path | None = None, key: Path | None = None) -> None:
    """Set the limits, and the certificate for TLS with clients, of servers that are started from now on."""
    _chosen.limits = limits
    _chosen.tls = client_context(certificate, key) if certificate is not None else None


class MoonPalaceServer(ServerInstance[MoonPalaceMode]):
    """The sockets of one such proxy."""

    service: Service | None = None
    speaks_tls = False
    _servers: tuple[asyncio.Server, ...] = ()

    @property
    def client_mode(self) -> ProxyMode:
        """Return what flows say of how their client came, which every mitmproxy can read."""
        return ProxyMode.parse(f"reverse:{self.mode.data}")

    @property
    def is_running(self) -> bool:
        """Tell whether it listens."""
        return bool(self._servers)

    @property
    def listen_addrs(self) -> tuple[tuple[str, int], ...]:
        """Return the addresses that it listens on."""
        return tuple(sock.getsockname() for server in self._servers for sock in server.sockets)

    def make_top_layer(self, context: object) -> NoReturn:
        """Do without mitmproxy's layers."""
        raise NotImplementedError("the engine has no layers")

    async def _start(self) -> None:
        host = self.mode.listen_host(ctx.options.listen_host)
        port = self.mode.listen_port(ctx.options.listen_port)
        service = Service(ctx.master, self.mode.data, within_descriptors(_chosen.limits))
        try:
            self._servers = (await self._listen(service, host, port or 0),)
        except OSError as error:
            message = f"{self.mode.description} failed to listen on {host or '*'}:{port} with {error}"
            if error.errno == errno.EADDRINUSE:
                message += "\nTry specifying another port."
            raise OSError(error.errno, message, error.filename) from error
        self.service = service
        self.speaks_tls = _chosen.tls is not None
        service.start()

    async def _listen(self, service: Service, host: str, port: int) -> asyncio.Server:
        if port == 0 and not host:
            port = get_free_port()  # the same for IPv4 and IPv6
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            service.protocol(),
            host or None,
            port,
            backlog=AT_ONCE,
            ssl=_chosen.tls,
            family=socket.AF_UNSPEC,
            reuse_port=_chosen.shares_port,
        )
        for listening in server.sockets:
            with listening.dup() as same:
                same.listen(BACKLOG)
        return server

    async def _stop(self) -> None:
        servers, self._servers = self._servers, ()
        for server in servers:
            server.close()  # the connections go on, as they do with mitmproxy's own

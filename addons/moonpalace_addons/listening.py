"""Announce the listening addresses, refuse unsafe ones, and hold clients until the proxy is ready.

`mpal start` opens its socket when its addons are ready; mitmdump and mitmweb open theirs before they load a script.
There, clients that connect too early wait, and are disconnected if our socket replaces the one they connected to.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator

from mitmproxy.connection import Client
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode, ReverseMode

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.engine.own_addresses import is_this_machine, machine_names
from moonpalace_addons.mitm.proxy_server import mode_of_clients, proxyserver
from moonpalace_addons.settings import banner

logger = logging.getLogger("moonpalace")

READY_TIMEOUT = 30.0
"""Seconds that a client waits for the proxy to be ready."""

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class Listening:
    """Check the sockets that are actually open, whatever options and settings say."""

    name = "moonpalace-listening"

    def __init__(self, configuration: Configuration, announce: Callable[[str], None] | None = None) -> None:
        self.configuration = configuration
        self._announce = announce
        self._is_ready = asyncio.Event()

    async def running(self) -> None:
        """Announce the addresses, or stop the proxy if one is unsafe; runs after `ReverseProxy` opened them."""
        if not self.configuration.ready:
            return
        servers = [server for server in proxyserver().servers if server.is_running]
        reachable = [address for server in servers for address in server.listen_addrs if not is_this_machine(address)]
        settings = self.configuration.settings
        if reachable and settings.has_credentials and settings.token is None:
            # An error in the log during startup ends mitmproxy.
            logger.error("Error: %s", exposed(*reachable[0][:2]))
            return
        if reachable:
            self.configuration.names = await asyncio.to_thread(machine_names)
        for url in addresses(servers):
            if self._announce is not None:
                self._announce(url)
            else:
                banner.announce(url, settings)
        self._is_ready.set()

    def client_connected(self, client: Client) -> Awaitable[None] | None:
        """Hold a client until the proxy is ready; return None once it is."""
        return None if self._is_ready.is_set() or not self.configuration.ready else self._hold(client)

    async def _hold(self, client: Client) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_ready.wait(), READY_TIMEOUT)
        if not (self._is_ready.is_set() and is_served(client)):
            client.error = "connected before MoonPalace was ready"  # has mitmproxy hang up


def is_served(client: Client) -> bool:
    """Return whether the socket that a client connected to is still open."""
    return any(mode_of_clients(server) == client.proxy_mode for server in proxyserver().servers)


def addresses(servers: Iterable[ServerInstance[ProxyMode]]) -> Iterator[str]:
    """Yield the base URLs for clients."""
    for server in servers:
        if isinstance(mode_of_clients(server), ReverseMode):
            host, port, *_ = server.listen_addrs[0]
            yield base_url(host, port, "https" if getattr(server, "speaks_tls", False) else "http")


def exposed(host: str, port: int) -> str:
    """Return the error for an address where other machines could use a key without a token."""
    return (
        f"the proxy listens on port {port} of {host}, where other machines could use the key: set a token that "
        "clients must send as their API key (MOONPALACE_TOKEN, start.token), or listen on 127.0.0.1 (--listen-host "
        "127.0.0.1, --mode …@127.0.0.1:PORT)"
    )


def base_url(host: str, port: int, scheme: str = "http") -> str:
    """Return the base URL for clients of an address."""
    name = "127.0.0.1" if host in WILDCARDS else host
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/v1"

"""Connect to the API, directly or through an outgoing proxy, with or without TLS."""

import asyncio
import socket
import ssl
import time
from typing import TYPE_CHECKING, cast

from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from moonpalace_addons.calls.failures import UPSTREAM_PROXY
from moonpalace_addons.engine.api import ApiConnection
from moonpalace_addons.engine.dialing import dial
from moonpalace_addons.engine.errors import CallError, ConnectError
from moonpalace_addons.engine.events import Event, Malformed, RequestHead, ResponseHead
from moonpalace_addons.engine.messages import make_request
from moonpalace_addons.engine.targets import Target, authority_of
from moonpalace_addons.engine.tls import api_context, describe

if TYPE_CHECKING:
    from moonpalace_addons.engine.service import Service


class Connector:
    """Open connections to the API, calling mitmproxy's server hooks."""

    def __init__(self, service: "Service") -> None:
        self.service = service
        self._data: dict[ApiConnection, ServerConnectionHookData] = {}

    async def connect(self, target: Target, server: Server, client: Client) -> ApiConnection:
        """Return a new connection to a server; raise ConnectError."""
        data = ServerConnectionHookData(server=server, client=client)
        await self._hook("server_connect", data)
        if server.error:
            await self._hook("server_connect_error", data)
            raise ConnectError(f"Connection killed: {server.error}")
        api = ApiConnection(self.service, target, server)
        server.timestamp_start = time.time()
        try:
            async with asyncio.timeout(self.service.limits.connect_timeout):
                await self._open(api)
        except (OSError, ssl.SSLError, BaseExceptionGroup, ConnectError) as error:
            await self._failed(api, data, error)
        except asyncio.CancelledError:
            api.abort()
            raise
        server.state = ConnectionState.OPEN
        self._data[api] = data
        try:
            await self._hook("server_connected", data)
        except asyncio.CancelledError:  # nobody else knows of the connection
            api.abort()
            raise
        return api

    async def _failed(self, api: ApiConnection, data: ServerConnectionHookData, error: BaseException) -> None:
        api.abort()
        why = error if isinstance(error, ConnectError) else ConnectError.because(error)
        data.server.error = str(why)
        await self._hook("server_connect_error", data)
        cause = error.__cause__ if why is error else error
        raise why from (cause and cause.with_traceback(None))  # its frames refer to the error

    async def _hook(self, name: str, data: ServerConnectionHookData) -> None:
        if (waiting := self.service.hooks.notify(name, data)) is not None:
            await waiting

    def disconnected(self, api: ApiConnection) -> None:
        """Call `server_disconnected` for a connection that addons know of."""
        data = self._data.pop(api, None)
        if data is not None and (waiting := self.service.hooks.notify("server_disconnected", data)) is not None:
            self.service.spawn(waiting)

    async def _open(self, api: ApiConnection) -> None:
        server, target = api.server, api.target
        name = server.sni or target.host
        context = self._context() if target.scheme == "https" else None
        if target.via is None:
            await self._tcp(api, (target.host, target.port), context, name)
        else:
            scheme, address = target.via
            try:
                await self._tcp(api, address, self._context() if scheme == "https" else None, address[0])
            except (OSError, ssl.SSLError, BaseExceptionGroup) as error:
                raise ConnectError(
                    f"cannot use the outgoing proxy: {ConnectError.because(error)}", UPSTREAM_PROXY
                ) from error
            await self._ask_proxy(api)
            if context is not None:
                await self._start_tls(api, context, name)
        if api.is_gone:
            raise ConnectionResetError
        server.peername = api.transport.get_extra_info("peername")
        server.sockname = api.transport.get_extra_info("sockname")
        found = cast(ssl.SSLObject | None, api.transport.get_extra_info("ssl_object"))
        if context is not None and found is not None:
            server.sni = name
            describe(server, found, time.time())

    def _context(self) -> ssl.SSLContext:
        options = self.service.options
        return api_context(options.ca_file, options.ca_folder, options.client_cert, verify=options.verify)

    async def _tcp(
        self, api: ApiConnection, address: tuple[str, int], context: ssl.SSLContext | None, name: str
    ) -> None:
        sock = await dial(*address, api.server.sockname)
        api.server.timestamp_tcp_setup = time.time()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().create_connection(
            lambda: api, sock=sock, ssl=context, server_hostname=name if context is not None else None
        )

    async def _start_tls(self, api: ApiConnection, context: ssl.SSLContext, name: str) -> None:
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(api.transport, api, context, server_hostname=name)
        if transport is None:
            raise ConnectError("the outgoing proxy closed the connection", UPSTREAM_PROXY)
        api.transport = transport

    async def _ask_proxy(self, api: ApiConnection) -> None:
        """Send CONNECT to the outgoing proxy."""
        target, data = api.target, self._connect_flow(api)
        if (waiting := self.service.hooks.call("http_connect_upstream", data)) is not None:
            await waiting
        authority = data.request.data.authority
        lines = [b"CONNECT %b HTTP/1.1\r\n" % authority]
        lines += [b"%b: %b\r\n" % field for field in data.request.headers.fields]
        answer = ProxyAnswer()
        api.send(answer, [b"".join(lines) + b"\r\n"], bodyless=True)
        head = await answer.head
        api.detach()
        if not 200 <= head.status < 300:
            reason = head.reason.decode("ascii", "replace")
            raise ConnectError(
                f"the outgoing proxy refused to connect to {target.host}: {head.status} {reason}", UPSTREAM_PROXY
            )

    @staticmethod
    def _connect_flow(api: ApiConnection) -> HTTPFlow:
        target = api.target
        host = authority_of("", target.host, target.port)
        flow = HTTPFlow(
            Client(peername=("", 0), sockname=("", 0)), Server(address=target.via[1] if target.via else None)
        )
        now = time.time()
        head = RequestHead(b"CONNECT", host, b"HTTP/1.1", [(b"Host", host)], {b"host": host}, True, None, False, False)
        flow.request = make_request(head, b"", b"", target.host, target.port, now)
        data = flow.request.data
        data.authority, data.content, data.timestamp_end = host, b"", now
        return flow


class ProxyAnswer:
    """Receiver of an outgoing proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.head: asyncio.Future[ResponseHead] = asyncio.get_running_loop().create_future()

    def receive(self, event: Event | CallError) -> None:
        """Resolve `head` with the answer or the error."""
        if self.head.done():
            return
        if isinstance(event, ResponseHead) and event.status >= 200:
            self.head.set_result(event)
        elif isinstance(event, Malformed):
            self.head.set_exception(ConnectError(f"the outgoing proxy's answer: {event.error}", UPSTREAM_PROXY))
        elif isinstance(event, CallError):
            self.head.set_exception(ConnectError("the outgoing proxy closed the connection", UPSTREAM_PROXY))

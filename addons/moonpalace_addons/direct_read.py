"""Give what upstream sends to mitmproxy's layers in the moment in which it is read.

mitmproxy reads through asyncio's streams: each read wakes a task in the loop's next round, which then waits until
every socket of the call can be written to. Of a stream with hundreds of small reads, that is a good part of the cost.
Here the transport calls the layers itself. Everything else (the end, errors, closing, the clients' side) stays
mitmproxy's. As `relay` and `upstream`, this module touches internals; where they are not as it knows them, nothing is
changed.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.server import ConnectionHandler

type AtOnce = Callable[[bytes], tuple[bytes, bytes | None]]
"""Takes what upstream has sent; returns what the client gets for it, and what the layers have to see, None if nothing.
"""


MAX_READ = 65_536
"""Bytes that are read at once, as mitmproxy does: asyncio takes four times as many, in which no other call goes on."""


def read_directly(
    handler: ConnectionHandler,
    source: Connection,
    sink: Connection,
    at_once: AtOnce | None,
    give_up: Callable[[], None],
) -> None:
    """Have what comes on the connection `source` handled at once, as long as the client at `sink` takes what it gets.

    For one answer, `at_once` is asked first, and `give_up` is told of an exception of ours, after which mitmproxy reads
    again. Does nothing where something that was read still waits: it would be overtaken.
    """
    incoming, outgoing = handler.transports.get(source), handler.transports.get(sink)
    if incoming is None or outgoing is None:
        return
    reader, writer, client = incoming.reader, incoming.writer, outgoing.writer
    if not (isinstance(writer, asyncio.StreamWriter) and isinstance(client, asyncio.StreamWriter)):
        return
    protocol = writer.transport.get_protocol()
    if isinstance(protocol, asyncio.StreamReaderProtocol) and getattr(reader, "_buffer", None) == b"":
        protocol = _DirectProtocol(handler, source, protocol, writer.transport, client, give_up)
        if hasattr(writer.transport, "max_size"):
            writer.transport.max_size = MAX_READ
        writer.transport.set_protocol(protocol)
    if isinstance(protocol, _DirectProtocol):
        protocol.at_once, protocol.give_up = at_once, give_up


class _DirectProtocol(asyncio.Protocol):
    """Stands before the protocol of asyncio's streams, and keeps the data from it."""

    def __init__(
        self,
        handler: ConnectionHandler,
        source: Connection,
        behind: asyncio.StreamReaderProtocol,
        transport: asyncio.WriteTransport,
        client: asyncio.StreamWriter,
        give_up: Callable[[], None],
    ) -> None:
        self.handler = handler
        self.source = source
        self.behind = behind
        self.transport = cast(asyncio.Transport, transport)
        self.client = client
        self.most = client.transport.get_write_buffer_limits()[1]
        self.at_once: AtOnce | None = None
        self.give_up = give_up
        self.tasks = set[asyncio.Task[None]]()

    def data_received(self, data: bytes) -> None:
        """Have it handled, unless the layers have closed the connection."""
        sent, left = b"", cast(bytes | None, data)
        try:
            if self.source.state is ConnectionState.CLOSED:
                return
            if self.at_once is not None and not self.tasks:
                sent, left = self.at_once(data)
            if sent and not self.client.is_closing():
                self.client.write(sent)
            sent = b""
            if left is None:
                self.handler.timeout_watchdog.register_activity()
            else:
                # mitmproxy's tasks begin at once, and this one waits for nothing unless a hook is just being answered.
                task = asyncio.create_task(self.handler.server_event(DataReceived(self.source, left)))
                left = None
                self._keep(task)
            if self.client.transport.get_write_buffer_size() > self.most:
                self.transport.pause_reading()
                self._keep(asyncio.create_task(self._go_on()))
        except Exception:  # noqa: BLE001 - it is logged by what is called
            self._leave(sent, left)

    def _leave(self, unsent: bytes, left: bytes | None) -> None:
        """Let mitmproxy read again, after an exception, with what the client and the layers have not got yet."""
        self.give_up()
        self.transport.set_protocol(self.behind)
        if unsent:
            self.client.transport.abort()  # it could not be written to: a broken transfer, never one with a gap
        if left is not None:
            # What mitmproxy reads from now on comes after it: who waits for the layers gets them in turn.
            self.tasks.add(asyncio.create_task(self.handler.server_event(DataReceived(self.source, left))))
        self.transport.resume_reading()

    def _keep(self, task: asyncio.Task[None]) -> None:
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _go_on(self) -> None:
        """Read again once the client has taken what waits for it, or is gone."""
        try:
            await self.client.drain()
        except OSError:
            pass  # mitmproxy notices by itself
        except Exception:  # noqa: BLE001 - it is logged by what is called
            self._leave(b"", None)
        finally:
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def eof_received(self) -> bool | None:
        """Leave the end to mitmproxy."""
        return self.behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the end to mitmproxy."""
        self.behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """Leave requests to mitmproxy."""
        self.behind.pause_writing()

    def resume_writing(self) -> None:
        """Leave requests to mitmproxy."""
        self.behind.resume_writing()

"""Causes of failures, with real sockets, whatever mitmproxy's message is."""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable

import pytest
from mitmproxy.http import HTTPFlow, Request

from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.causes import Causes
from moonpalace_addons.mitm import flow_control, own_requests
from tests.addons.proxied import proxied

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
NOT_WHOLE = b"5\r\nhello\r\n"

type Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Watched(Causes):
    """Ask for the cause of each failure."""

    def __init__(self) -> None:
        super().__init__()
        self.found = asyncio.Queue[Failure]()
        self.unsent = 0

    def error(self, flow: HTTPFlow) -> None:
        """Ask."""
        self.found.put_nowait(self.of(flow))


def says(*pieces: bytes, reset: bool = False) -> Act:
    """Return an upstream that answers with bytes and closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(pieces))
        await writer.drain()
        if reset:
            await asyncio.sleep(0.05)
            linger = b"\1\0\0\0\0\0\0\0"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    return serve


def kind_of(serve: Act, *sent: bytes, leaves: bool = False) -> str:
    """Return the kind of failure of a call whose client sends these bytes and may then disconnect."""

    async def run() -> str:
        watched = Watched()
        async with proxied(serve, watched) as (_, writer):
            for piece in sent:
                writer.write(piece)
                await asyncio.sleep(0.05)
            if leaves:
                writer.close()
            return (await asyncio.wait_for(watched.found.get(), 10)).kind

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (says(), "upstream_cut"),
        (says(b"HTTP/1.1 200 O"), "upstream_cut"),
        (says(b"timeout certificate\r\n\r\n"), "upstream_protocol"),
        (says(CHUNKED, NOT_WHOLE), "upstream_cut"),
        (says(LENGTH, b"hello"), "upstream_cut"),
        (says(CHUNKED, b"ssl certificate\r\n"), "upstream_protocol"),
        (says(CHUNKED, NOT_WHOLE, b"connection reset, errno 111\r\n"), "upstream_protocol"),
        (says(reset=True), "upstream_reset"),
        (says(CHUNKED, NOT_WHOLE, reset=True), "upstream_reset"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), "upstream_protocol"),
    ],
)
def test_upstream_fails(serve: Act, kind: str) -> None:
    """A closed connection, a lost one, and an invalid answer are distinguished, whatever the message."""
    assert kind_of(serve, GET) == kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EHOSTUNREACH, "upstream_unreachable"),
        (errno.ECONNREFUSED, "upstream_refused"),
        (errno.ETIMEDOUT, "upstream_timeout"),
        (errno.EMFILE, "too_many_open_files"),
        (None, "upstream_unknown_host"),
    ],
)
def test_no_connection(monkeypatch: pytest.MonkeyPatch, number: int | None, kind: str) -> None:
    """The exception decides, whatever language the system's message has."""
    really = asyncio.open_connection
    calls: list[object] = []

    async def fail(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 1:  # the client's
            return await really(*args, **kwargs)  # type: ignore[arg-type]
        raise OSError(number, os.strerror(0)) if number else socket.gaierror(socket.EAI_NONAME, "Nom inconnu")

    monkeypatch.setattr(asyncio, "open_connection", fail)
    assert kind_of(says(), GET) == kind


def test_a_replay_has_no_client_that_could_leave() -> None:
    """A replayed flow fails because of upstream, although its client is long gone."""

    async def run() -> str:
        watched = Watched()
        async with proxied(says(), watched):
            with socket.socket() as closed:
                closed.bind(("127.0.0.1", 0))
                await own_requests.fetch(Request.make("GET", f"http://127.0.0.1:{closed.getsockname()[1]}/"))
        return (await watched.found.get()).kind

    assert asyncio.run(run()) == "upstream_refused"


async def waits(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Wait until the proxy has closed the connection."""
    await reader.read()


@pytest.mark.parametrize(
    ("sent", "leaves", "kind"),
    [
        ((GET,), True, "client_disconnected"),
        ((POST, NOT_WHOLE), True, "client_disconnected"),
        ((POST, NOT_WHOLE, b"reset by peer\r\n"), False, "bad_request"),
        ((b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",), False, "bad_request"),
    ],
)
def test_the_client_fails(sent: tuple[bytes, ...], leaves: bool, kind: str) -> None:
    """A client that disconnects, even within its request, and one that sends an invalid request are distinguished."""
    assert kind_of(waits, *sent, leaves=leaves) == kind


@pytest.mark.parametrize(("flood", "known"), [(40, True), (0, False)])
def test_what_a_client_has_not_taken_is_known_when_it_leaves(flood: int, known: bool) -> None:
    """For a lost connection, the last known number counts, because asyncio has dropped the pending data by then."""

    class Leaving(Watched):
        def responseheaders(self, flow: HTTPFlow) -> None:
            assert flow.response is not None
            flow.response.stream = True

        def error(self, flow: HTTPFlow) -> None:
            self.unsent = flow_control.unsent_at_end(flow, 77)
            super().error(flow)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"".join(b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20)) for _ in range(flood)))
        await reader.read()

    async def run() -> int:
        leaving = Leaving()
        async with proxied(serve, leaving) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.2)
            writer.transport.abort()
            assert (await asyncio.wait_for(leaving.found.get(), 10)).kind == "client_disconnected"
        return leaving.unsent

    assert (asyncio.run(run()) == 77) is known

"""Streams relayed over real sockets with an exception of ours somewhere, for tests of what comes of that."""

import asyncio
import contextlib
import ssl
import time
import types
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.events import DataReceived

from moonpalace_addons import direct_read, relay, upstream
from moonpalace_addons.adapter import Adapter
from moonpalace_addons.calls import Call
from moonpalace_addons.direct_read import _DirectProtocol
from moonpalace_addons.headers import set_headers
from moonpalace_addons.relay import _Relay
from moonpalace_addons.tap import Tap
from moonpalace_addons.wire import chunked
from moonpalace_addons.wire.chunked import ChunkReader
from moonpalace_addons.wire.stream_editor import Plan, StreamEditor
from tests.addons.proxied import Served, ours, proxied, read_chunk

CHUNKED = b"Transfer-Encoding: chunked\r\n"


@dataclass
class Fault:
    """An exception at the call with this number, and, if it is a lasting one, at all calls from then on."""

    lasting: bool
    at: int = 0
    calls: int = 0
    fired: int = 0

    def arm(self, at: int) -> None:
        """Count from the beginning."""
        self.at, self.calls, self.fired = at, 0, 0

    def strike(self) -> None:
        """Count a call, and raise if its time has come."""
        self.calls += 1
        if self.calls - 1 == self.at or (self.lasting and self.calls > self.at):
            self.fired += 1
            raise ZeroDivisionError

    def before(self, function: Callable[..., object]) -> Callable[..., object]:
        """Return a function that may raise before it does anything."""

        def faulty(*args: object) -> object:
            self.strike()
            return function(*args)

        return faulty


type Break = Callable[[pytest.MonkeyPatch, Fault], None]


def method(owner: type, name: str) -> Break:
    """Break a method."""
    return lambda patch, fault: patch.setattr(owner, name, fault.before(getattr(owner, name)))


def pattern(patch: pytest.MonkeyPatch, fault: Fault) -> None:
    """Break what finds the size of a chunk, in the midst of a read."""
    patch.setattr(chunked, "_SIZE", types.SimpleNamespace(match=fault.before(chunked._SIZE.match)))


def events(patch: pytest.MonkeyPatch, fault: Fault) -> None:
    """Break what gives reads to the layers."""
    patch.setattr(direct_read, "DataReceived", fault.before(DataReceived))


def watermark(patch: pytest.MonkeyPatch, fault: Fault) -> None:
    """Break what comes when all of a read is done."""
    method(vars(asyncio.selector_events)["_SelectorTransport"], "get_write_buffer_size")(patch, fault)


IN_LAYERS: dict[str, Break] = {
    "feed": method(ChunkReader, "feed"),
    "in the midst of feed": pattern,
    "_chunked": method(_Relay, "_chunked"),
    "_together": method(_Relay, "_together"),
    "_sent": method(_Relay, "_sent"),
}
PLACES: dict[str, Break] = {
    **IN_LAYERS,
    "at_once": method(_Relay, "at_once"),
    "_keep": method(_DirectProtocol, "_keep"),
    "DataReceived": events,
    "get_write_buffer_size": watermark,
}


FAULTS = [
    (place, lasting) for place in PLACES for lasting in (False, True) if (place, lasting) != ("DataReceived", True)
]
"""Places, and whether the fault lasts; mitmproxy cannot do without events either."""


@dataclass
class Answers:
    """Take the place of capture and `edit_stream`; keep each answer's row and how it ended."""

    plan: Plan | None = None
    calls: list[Call] = field(default_factory=list)
    over: list[str] = field(default_factory=list)

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Relay an answer, edited if there is a plan for it."""
        assert flow.response is not None
        call = Call(flow, time.monotonic_ns(), [], "", "/v1/chat/completions")
        self.calls.append(call)
        flow.response.stream = Tap(call)
        relay.relay(flow, call)
        if self.plan is not None:
            call.adapter = Adapter(flow, call, None, StreamEditor(self.plan), coerce=self.plan.coerce)
            flow.response.stream = call.adapter
            set_headers(flow, coerce=self.plan.coerce)

    def response(self, flow: HTTPFlow) -> None:
        """Note a clean end."""
        self.over.append("response")
        if flow.metadata.get(upstream.ENDED_EARLY):
            upstream.close_upstream(flow)

    def error(self, flow: HTTPFlow) -> None:
        """Note an error."""
        assert flow.error is not None
        self.over.append(flow.error.msg)

    def kept(self) -> bytes:
        """Return what is kept of the last answer."""
        return b"".join(data for _, data in self.calls[-1].chunks)


def serving(head: bytes, reads: Sequence[bytes]) -> Served:
    """Return a server that sends what the proxy shall read at once, one after the other."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # a loop closes it
            while await reader.readline():
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + reads[0])
                for read in reads[1:]:
                    await turns()
                    writer.write(read)

    return serve


async def turns() -> None:
    """Let the proxy, which is on the same loop, read what has been written."""
    for _ in range(12):
        await asyncio.sleep(0)


async def read_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_last: bool = False) -> bytes:
    """Ask; return the body of the answer, once it has come to its end."""
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"Connection: close\r\n" * is_last + b"\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    if b"chunked" not in head:
        return await reader.read()
    body = b""
    while piece := await read_chunk(reader):
        body += piece
    return body


type Check = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def at_every_call(fault: Fault, serve: Served, answers: Answers, check: Check, tls: ssl.SSLContext | None) -> int:
    """Check answers with a fault at each call there is in one; return how many calls that were."""

    async def run() -> int:
        async with proxied(serve, answers, tls) as (reader, writer):
            for at in range(100):
                fault.arm(at)
                await check(reader, writer)
                if not fault.fired:
                    return at
        raise AssertionError("a fault at each of 100 calls")

    return asyncio.run(run())


def noted(answers: Answers, caplog: pytest.LogCaptureFixture) -> tuple[list[str], list[str]]:
    """Return what was logged since the last time, and the warnings of the last row."""
    logged = ours(caplog)
    caplog.clear()
    return logged, answers.calls[-1].warnings

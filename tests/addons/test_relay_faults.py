"""An exception of ours wherever streams are relayed: the client gets every byte, the row is marked.

Most tests ask again and again on one connection, and have the exception happen one call later each time, until the
answer is over before it can.
"""

import asyncio
import logging
import ssl
import sys
from collections.abc import Awaitable, Sequence

import pytest

from moonpalace_addons.direct_read import _DirectProtocol
from moonpalace_addons.relay import LEFT, SLOWER
from moonpalace_addons.tap import INCOMPLETE, Tap
from tests.addons.faulty import (
    CHUNKED,
    FAULTS,
    PLACES,
    Answers,
    Fault,
    at_every_call,
    method,
    noted,
    read_answer,
    serving,
    turns,
)
from tests.addons.proxied import framed, proxied, read_chunk

READS = (
    b"5\r\nhello\r\n1\r\n \r\n",
    b"6\r\nwor",
    b"l",
    b"d!",
    b"\r",
    b"\n4",
    b"\r",
    b"\nmore\r\n3\r\nabc",
    b"\r\n2",
    b"\r\nde\r\n1\r\nf\r\n",
    b"0\r\n\r\n",
)
AT_ONCE = (b"".join(READS),)
TWICE = (READS[0], b"".join(READS[1:]))
EXTENDED = (*READS[:3], b"d!\r\n4;name=value\r\nmo", b"re\r\n6\r\nabcdef\r\n", b"0\r\n\r\n")
BODY = b"hello world!moreabcdef"
LATER = (b"", *READS)
WITHOUT_CHUNKS = ("_chunked", "_together", "_sent", "DataReceived", "get_write_buffer_size")


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "reads", [READS, AT_ONCE, TWICE, EXTENDED, LATER], ids=["reads", "at once", "twice", "extended", "later"]
)
@pytest.mark.parametrize(("place", "lasting"), FAULTS)
def test_fault(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tls: ssl.SSLContext,
    place: str,
    lasting: bool,
    reads: tuple[bytes, ...],
    is_tls: bool,
) -> None:
    """Whenever it happens: every byte, kept too, and a clean end; one error, one warning; the next call works."""
    fault, answers = Fault(lasting), Answers()
    PLACES[place](monkeypatch, fault)

    async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await read_answer(reader, writer) == BODY
        await turns()
        assert answers.kept() == BODY
        assert fault.fired <= 1  # what is broken is not used any more
        assert noted(answers, caplog) == ([LEFT] * fault.fired, [SLOWER] * fault.fired)

    with caplog.at_level(logging.ERROR):
        calls = at_every_call(fault, serving(CHUNKED, reads), answers, check, tls if is_tls else None)
    # Some places are there only past the layers, or only if something comes after the beginning.
    assert calls or reads is AT_ONCE or (is_tls and place == "at_once") or (not is_tls and place == "_keep")
    assert answers.over == ["response"] * (calls + 1)


def test_two_faults(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A second fault in the same answer costs no byte either; one is enough for the log and the row."""
    first, second, answers = Fault(lasting=True, at=2), Fault(lasting=True, at=4), Answers()
    PLACES["feed"](monkeypatch, first)
    PLACES["get_write_buffer_size"](monkeypatch, second)

    async def run() -> None:
        async with proxied(serving(CHUNKED, READS), answers) as (reader, writer):
            assert await read_answer(reader, writer) == BODY

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert (first.fired, second.fired) == (1, 1)
    assert noted(answers, caplog) == ([LEFT], [SLOWER])


def test_fault_byte_by_byte(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It may happen between any two bytes of a transfer."""
    fault, answers = Fault(lasting=True), Answers()
    PLACES["feed"](monkeypatch, fault)
    body = b"hello wor\nmore\r"
    whole = b"5\r\nhello\r\n00A\r\n wor\nmore\r\r\n0\r\n\r\n"

    async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await read_answer(reader, writer) == body
        assert noted(answers, caplog) == ([LEFT] * bool(fault.fired), [SLOWER] * bool(fault.fired))

    with caplog.at_level(logging.ERROR):
        calls = at_every_call(fault, serving(CHUNKED, [bytes([byte]) for byte in whole]), answers, check, None)
    assert calls > len(whole) - 5


@pytest.mark.parametrize("framing", ["length", "close"])
@pytest.mark.parametrize(("place", "lasting"), [each for each in FAULTS if each[0] in WITHOUT_CHUNKS])
def test_fault_where_nothing_is_chunked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str, lasting: bool, framing: str
) -> None:
    """Bodies with a length, and such that last until the connection ends, come whole too."""
    fired = 0
    for at in range(4):
        fault, answers = Fault(lasting, at), Answers()
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            PLACES[place](patch, fault)
            asyncio.run(one_answer(framing, answers))
        assert answers.kept() == BODY
        assert noted(answers, caplog) == ([LEFT] * bool(fault.fired), [SLOWER] * bool(fault.fired))
        assert answers.over == ["response"]
        fired += bool(fault.fired)
    assert fired


async def one_answer(framing: str, answers: Answers) -> None:
    """Check one answer in three reads, after which both connections end."""
    head, pieces, _ = framed(framing, BODY[:3], BODY[3:8], BODY[8:])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        for piece in pieces:
            writer.write(piece)
            await turns()

    async with proxied(serve, answers) as (reader, writer):
        assert await read_answer(reader, writer, is_last=True) == BODY


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_fault_of_the_stream(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tls: ssl.SSLContext, lasting: bool, is_tls: bool
) -> None:
    """Should a tap ever raise, the client gets all, and the row says that it has not."""
    fault, answers, together = Fault(lasting), Answers(), Tap.together

    def faulty(tap: Tap, pieces: Sequence[bytes]) -> Sequence[bytes]:
        if pieces:  # it is told of the end too
            fault.strike()
        return together(tap, pieces)

    monkeypatch.setattr(Tap, "together", faulty)

    async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await read_answer(reader, writer) == BODY
        await turns()
        if fault.fired:
            assert BODY.startswith(answers.kept())
            assert noted(answers, caplog) == ([LEFT], [SLOWER, INCOMPLETE])

    with caplog.at_level(logging.ERROR):
        calls = at_every_call(fault, serving(CHUNKED, READS), answers, check, tls if is_tls else None)
    assert calls == 6


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_mistake_of_upstream_after_a_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tls: ssl.SSLContext, is_tls: bool
) -> None:
    """A chunk that does not end where it should breaks the transfer, whoever reads it, after what came before."""
    bad = (*READS[:4], b"?\n4\r\nmore\r\n0\r\n\r\n")
    for at in range(len(bad)):
        fault, answers = Fault(lasting=True, at=at), Answers()

        async def run(answers: Answers = answers) -> None:
            async with proxied(serving(CHUNKED, bad), answers, tls if is_tls else None) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")
                for expected in (b"hello", b" ", b"wor", b"l", b"d!"):
                    assert await read_chunk(reader) == expected
                assert await reader.read() == b""

        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            PLACES["feed"](patch, fault)
            asyncio.run(run())
        assert noted(answers, caplog) == ([LEFT], [SLOWER])
        assert len(answers.over) == 1
        assert "HTTP/1 protocol error: malformed chunk footer" in answers.over[0]


def test_client_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where a write raises, the transfer is broken: none has a gap that nobody sees."""
    answers = Answers()
    write = asyncio.StreamWriter.write

    def fail(writer: asyncio.StreamWriter, data: bytes) -> None:
        if data == b"1\r\nl\r\n":
            raise ZeroDivisionError
        write(writer, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", fail)

    async def run() -> None:
        async with proxied(serving(CHUNKED, READS), answers) as (reader, writer):
            with pytest.raises((asyncio.IncompleteReadError, OSError)):
                await read_answer(reader, writer)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert noted(answers, caplog) == ([LEFT], [SLOWER])
    assert len(answers.over) == 1


@pytest.mark.parametrize("place", ["drain", "_go_on"])
def test_fault_while_a_slow_client_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    """It gets all of it, and upstream is still slowed down."""
    answers, fault, sent, most, piece = Answers(), Fault(lasting=True), 0, 60, bytes(range(256)) * 4096
    drain = asyncio.StreamWriter.drain

    def faulty(writer: asyncio.StreamWriter) -> Awaitable[None]:
        if sys._getframe(1).f_code.co_name == "_go_on":
            fault.strike()
        return drain(writer)

    if place == "drain":
        monkeypatch.setattr(asyncio.StreamWriter, "drain", faulty)
    else:
        method(_DirectProtocol, "_go_on")(monkeypatch, fault)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n")
        await turns()
        for _ in range(most):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")

    async def run() -> None:
        async with proxied(serve, answers) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < most / 2
            body = bytearray()
            while more := await read_chunk(reader):
                body += more
            assert body == piece * most

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert fault.fired == 1
    assert noted(answers, caplog) == ([LEFT], [SLOWER])
    assert answers.over == ["response"]

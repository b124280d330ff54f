"""Answers of the API: what clients receive, and which answers become a 502 (RFC 9112)."""

import asyncio
from dataclasses import dataclass

import pytest

from tests.engine.harness import CLOSE, Script, engine, refusal
from tests.tables import for_each

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"
LIVES = b"GET /lives HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Streaming:
    """Stream all answers, as the capture does except for JSON."""

    def responseheaders(self, flow: object) -> None:
        """Have the answer streamed."""
        flow.response.stream = True  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Case:
    """An answer of the API, and what the client receives with and without streaming."""

    answer: bytes
    got: bytes
    whole: bytes | None = None
    request: bytes = GET
    closes: bool = False


def answer(fields: bytes, body: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return an answer."""
    return line + b"\r\n" + fields + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
HI = answer(b"Content-Length: 2\r\n", b"hi")
HI_CHUNKED = answer(CHUNKED, b"2\r\nhi\r\n0\r\n\r\n")

PASSED: dict[str, Case] = {
    "length": Case(HI, HI),
    "length 0": Case(answer(b"Content-Length: 0\r\n"), answer(b"Content-Length: 0\r\n")),
    "length with zeros before": Case(answer(b"Content-Length: 02\r\n", b"hi"), HI),
    "chunks": Case(HI_CHUNKED, HI_CHUNKED),
    "several chunks": Case(
        answer(CHUNKED, b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"),
        answer(CHUNKED, b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"),
        HI_CHUNKED,
    ),
    "no chunk": Case(answer(CHUNKED, b"0\r\n\r\n"), answer(CHUNKED, b"0\r\n\r\n")),
    "chunk extensions": Case(answer(CHUNKED, b"2;a=b\r\nhi\r\n0;c\r\n\r\n"), HI_CHUNKED),
    "trailers": Case(
        answer(b"Trailer: T\r\n" + CHUNKED, b"2\r\nhi\r\n0\r\nT: v\r\n\r\n"),
        answer(b"Trailer: T\r\n" + CHUNKED, b"2\r\nhi\r\n0\r\nT: v\r\n\r\n"),
    ),
    "until the end of the connection": Case(answer(b"", b"hi") + CLOSE, HI_CHUNKED, HI),
    "until the end, with Connection: close": Case(answer(b"Connection: close\r\n", b"hi") + CLOSE, HI_CHUNKED, HI),
    "until the end, HTTP/1.0": Case(answer(b"", b"hi", b"HTTP/1.0 200 OK") + CLOSE, HI_CHUNKED, HI),
    "until the end, nothing": Case(
        answer(b"") + CLOSE, answer(CHUNKED, b"0\r\n\r\n"), answer(b"Content-Length: 0\r\n")
    ),
    "Connection: close with a length": Case(answer(b"Connection: close\r\nContent-Length: 2\r\n", b"hi") + CLOSE, HI),
    "HTTP/1.0 with a length": Case(answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.0 200 OK") + CLOSE, HI),
    "HTTP/1.0, kept alive": Case(
        answer(b"Connection: keep-alive\r\nContent-Length: 2\r\n", b"hi", b"HTTP/1.0 200 OK"), HI
    ),
    "Keep-Alive": Case(answer(b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n", b"hi"), HI),
    "Upgrade offered": Case(answer(b"Upgrade: h2,h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n", b"hi"), HI),
    "a field of this connection": Case(answer(b"Connection: A\r\nA: b\r\nContent-Length: 2\r\n", b"hi"), HI),
    "spelling, order and duplicates": Case(
        answer(b"Set-Cookie: a\r\nx-B: 1\r\nX-a: 2\r\nset-cookie: b\r\nContent-Length: 2\r\nZ: z\r\n", b"hi"),
        answer(b"Set-Cookie: a\r\nx-B: 1\r\nX-a: 2\r\nset-cookie: b\r\nContent-Length: 2\r\nZ: z\r\n", b"hi"),
    ),
    "other bytes in a value": Case(
        answer(b"A: \xff\xe6\r\nContent-Length: 2\r\n", b"hi"), answer(b"A: \xff\xe6\r\nContent-Length: 2\r\n", b"hi")
    ),
    "an empty value": Case(
        answer(b"A:\r\nContent-Length: 2\r\n", b"hi"), answer(b"A: \r\nContent-Length: 2\r\n", b"hi")
    ),
    "a reason of its own": Case(
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 200 All is well"),
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 200 All is well"),
    ),
    "a reason in UTF-8": Case(
        answer(b"Content-Length: 2\r\n", b"hi", "HTTP/1.1 200 好".encode()),
        answer(b"Content-Length: 2\r\n", b"hi", "HTTP/1.1 200 好".encode()),
    ),
    "an empty reason": Case(
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 200 "),
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 200 "),
    ),
    "no reason": Case(
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 200"),
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 200 "),
    ),
    "an unusual status": Case(
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 799 Odd"),
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 799 Odd"),
    ),
    "a redirect": Case(
        answer(b"Location: /b\r\nContent-Length: 0\r\n", line=b"HTTP/1.1 302 Found"),
        answer(b"Location: /b\r\nContent-Length: 0\r\n", line=b"HTTP/1.1 302 Found"),
    ),
    "an error": Case(
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 503 Busy"),
        answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 503 Busy"),
    ),
    "204": Case(
        answer(b"A: b\r\n", line=b"HTTP/1.1 204 No Content"), answer(b"A: b\r\n", line=b"HTTP/1.1 204 No Content")
    ),
    "204 with a length": Case(
        answer(b"Content-Length: 0\r\n", line=b"HTTP/1.1 204 No Content"), answer(b"", line=b"HTTP/1.1 204 No Content")
    ),
    "205": Case(
        answer(b"Content-Length: 0\r\n", line=b"HTTP/1.1 205 Reset Content"),
        answer(b"Content-Length: 0\r\n", line=b"HTTP/1.1 205 Reset Content"),
    ),
    "304": Case(
        answer(b"ETag: a\r\n", line=b"HTTP/1.1 304 Not Modified"),
        answer(b"ETag: a\r\n", line=b"HTTP/1.1 304 Not Modified"),
    ),
    "304 with a length": Case(
        answer(b"Content-Length: 5\r\n", line=b"HTTP/1.1 304 Not Modified"),
        answer(b"Content-Length: 5\r\n", line=b"HTTP/1.1 304 Not Modified"),
    ),
    "304 with a coding": Case(
        answer(CHUNKED, line=b"HTTP/1.1 304 Not Modified"), answer(b"", line=b"HTTP/1.1 304 Not Modified")
    ),
    "HEAD with a length": Case(answer(b"Content-Length: 5\r\n"), answer(b"Content-Length: 5\r\n"), request=HEAD),
    "HEAD with a coding": Case(answer(CHUNKED), answer(b""), request=HEAD),
    "HEAD without both": Case(answer(b"A: b\r\n"), answer(b"A: b\r\n"), request=HEAD),
    "100": Case(b"HTTP/1.1 100 Continue\r\n\r\n" + HI, HI),
    "102": Case(b"HTTP/1.1 102 Processing\r\n\r\n" + HI, b"HTTP/1.1 102 Processing\r\n\r\n" + HI),
    "103": Case(
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\n" + HI,
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\n" + HI,
    ),
    "an unknown interim one": Case(b"HTTP/1.1 142 Hm\r\n\r\n" + HI, b"HTTP/1.1 142 Hm\r\n\r\n" + HI),
    "several interim ones": Case(
        b"HTTP/1.1 102 A\r\n\r\nHTTP/1.1 100 B\r\n\r\nHTTP/1.1 103 C\r\n\r\n" + HI,
        b"HTTP/1.1 102 A\r\n\r\nHTTP/1.1 103 C\r\n\r\n" + HI,
    ),
    "103 before a 204": Case(
        b"HTTP/1.1 103 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n", b"HTTP/1.1 103 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n"
    ),
    "empty lines before it": Case(b"\r\n\r\n" + HI, HI),
    "to HTTP/1.0, length": Case(
        HI, answer(b"Content-Length: 2\r\nConnection: close\r\n", b"hi"), request=OLD, closes=True
    ),
    "to HTTP/1.0, chunks": Case(
        HI_CHUNKED,
        answer(b"Connection: close\r\n", b"hi"),
        answer(b"Content-Length: 2\r\nConnection: close\r\n", b"hi"),
        request=OLD,
        closes=True,
    ),
    "to HTTP/1.0, trailers": Case(
        answer(CHUNKED, b"2\r\nhi\r\n0\r\nT: v\r\n\r\n"),
        answer(b"Connection: close\r\n", b"hi"),
        answer(b"Content-Length: 2\r\nConnection: close\r\n", b"hi"),
        request=OLD,
        closes=True,
    ),
    "to HTTP/1.0, interim": Case(
        b"HTTP/1.1 103 C\r\n\r\n" + HI,
        answer(b"Content-Length: 2\r\nConnection: close\r\n", b"hi"),
        request=OLD,
        closes=True,
    ),
    "to HTTP/1.0, kept alive": Case(
        HI,
        answer(b"Content-Length: 2\r\nConnection: keep-alive\r\n", b"hi"),
        request=b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    ),
    "to a client that closes": Case(
        HI,
        answer(b"Content-Length: 2\r\nConnection: close\r\n", b"hi"),
        request=b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        closes=True,
    ),
    "to a client that closes, chunks": Case(
        HI_CHUNKED,
        answer(CHUNKED + b"Connection: close\r\n", b"2\r\nhi\r\n0\r\n\r\n"),
        request=b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n",
        closes=True,
    ),
}


def upstream_request(request: bytes) -> bytes:
    """Return the request that the API receives."""
    lines = request.replace(b"HTTP/1.0", b"HTTP/1.1").split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(b"Connection"))


@for_each("streamed", [True, False])
@for_each("name", PASSED)
def test_passed(name: str, streamed: bool) -> None:
    """The client receives exactly these bytes, and the connection stays usable unless one side closes it."""
    case = PASSED[name]
    expected = case.got if streamed or case.whole is None else case.whole

    async def run() -> None:
        script = Script([(upstream_request(case.request), case.answer), (LIVES, OK)])
        async with engine(script, *([Streaming()] if streamed else [])) as running:
            reader, writer = await running.connect()
            writer.write(case.request)
            assert await reader.readexactly(len(expected)) == expected
            if case.closes:
                assert await reader.read() == b""
                return
            writer.write(LIVES)
            assert await reader.readexactly(len(OK)) == OK

    asyncio.run(run())


# What the API answers; the client gets a 502.
REFUSED: dict[str, bytes] = {
    "nothing": CLOSE,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le" + CLOSE,
    "only an interim answer": b"HTTP/1.1 103 C\r\n\r\n" + CLOSE,
    "no HTTP": b"hello\r\n" + CLOSE,
    "HTML without a head": b"<html></html>" + CLOSE,
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.9": b"HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "status 99": answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 99 OK"),
    "a status of four digits": answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 2000 OK"),
    "a status in words": answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 two OK"),
    "two blanks before the status": answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1  200 OK"),
    "a bare LF after the first line": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi",
    "only bare LFs": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "a bare LF after a field": b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nhi",
    "a bare CR in a value": answer(b"A: b\rC: d\r\nContent-Length: 2\r\n", b"hi"),
    "folding": answer(b"A: b\r\n c\r\nContent-Length: 2\r\n", b"hi"),
    "NUL in a value": answer(b"A: b\0\r\nContent-Length: 2\r\n", b"hi"),
    "a blank before the colon": answer(b"A : b\r\nContent-Length: 2\r\n", b"hi"),
    "no colon": answer(b"A\r\nContent-Length: 2\r\n", b"hi"),
    "UTF-8 in a name": answer("月: b\r\nContent-Length: 2\r\n".encode(), b"hi"),
    "both lengths": answer(b"Content-Length: 2\r\n" + CHUNKED, b"2\r\nhi\r\n0\r\n\r\n"),
    "two lengths that differ": answer(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"hi!"),
    "a list of lengths": answer(b"Content-Length: 2, 3\r\n", b"hi!"),
    "a negative length": answer(b"Content-Length: -2\r\n", b"hi"),
    "a length in words": answer(b"Content-Length: two\r\n", b"hi"),
    "a length beyond 64 bits": answer(b"Content-Length: 99999999999999999999\r\n", b"hi"),
    "an unknown coding": answer(b"Transfer-Encoding: br\r\n", b"hi") + CLOSE,
    "gzip in chunks": answer(b"Transfer-Encoding: gzip, chunked\r\n", b"2\r\nhi\r\n0\r\n\r\n"),
    "chunked twice": answer(b"Transfer-Encoding: chunked, chunked\r\n", b"2\r\nhi\r\n0\r\n\r\n"),
    "chunks in HTTP/1.0": answer(CHUNKED, b"2\r\nhi\r\n0\r\n\r\n", b"HTTP/1.0 200 OK"),
    "an interim answer with a body": answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 103 C") + HI,
    "an interim answer in chunks": answer(CHUNKED, b"0\r\n\r\n", b"HTTP/1.1 103 C") + HI,
    "endless interim answers": b"HTTP/1.1 103 C\r\n\r\n" * 102,
    "101 without being asked": answer(b"Connection: Upgrade\r\nUpgrade: foo\r\n", line=b"HTTP/1.1 101 S"),
    "101 without an Upgrade": answer(b"", line=b"HTTP/1.1 101 S"),
    "a head without end": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 1_500_000,
    "too many fields": answer(b"A: b\r\n" * 1001, b""),
}

# The same for what comes after a head that was right: a 502 if the answer is held until it is whole, else a transfer
# that is broken off.
BROKEN: dict[str, bytes] = {
    "cut in its length": answer(b"Content-Length: 3\r\n", b"hi") + CLOSE,
    "cut in a chunk": answer(CHUNKED, b"5\r\nhi") + CLOSE,
    "cut between chunks": answer(CHUNKED, b"2\r\nhi\r\n") + CLOSE,
    "cut in the last chunk": answer(CHUNKED, b"2\r\nhi\r\n0\r\n") + CLOSE,
    "cut in a trailer": answer(CHUNKED, b"2\r\nhi\r\n0\r\nA: b\r\n") + CLOSE,
    "a chunk size that is none": answer(CHUNKED, b"2\r\nhi\r\nx\r\n"),
    "a chunk size with a blank": answer(CHUNKED, b"2\r\nhi\r\n2 \r\nhi\r\n"),
    "a chunk longer than its size": answer(CHUNKED, b"2\r\nhi!\r\n0\r\n\r\n"),
    "a bare LF after a chunk size": answer(CHUNKED, b"2\r\nhi\r\n2\nhi\r\n"),
    "a chunk size beyond 64 bits": answer(CHUNKED, b"2\r\nhi\r\n10000000000000002\r\n"),
    "a chunk extension without end": answer(CHUNKED, b"2\r\nhi\r\n2;" + b"a" * 1_500_000),
    "a trailer without end": answer(CHUNKED, b"2\r\nhi\r\n0\r\nA: " + b"a" * 1_500_000),
}


@for_each("name", REFUSED | BROKEN)
def test_refused(name: str) -> None:
    """The client gets a 502 in the API's error format, and the API's connection is not reused."""
    script = Script([(GET, (REFUSED | BROKEN)[name])])

    async def run() -> None:
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            got = await reader.read()
            while got.startswith(b"HTTP/1.1 103"):
                got = got.partition(b"\r\n\r\n")[2]
            status, message = refusal(got)
            assert status == 502
            assert message.startswith("MoonPalace got no answer from the API: ")
            assert running.service.pool.take(running.service.target) is None

    asyncio.run(run())


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("request_bytes", [GET, OLD], ids=["1.1", "1.0"])
def test_broken_off(name: str, request_bytes: bytes) -> None:
    """The client receives the data so far, and the transfer is visibly incomplete."""
    script = Script([(GET, BROKEN[name])])

    async def run() -> None:
        async with engine(script, Streaming()) as running:
            reader, writer = await running.connect()
            writer.write(request_bytes)
            is_reset = False
            got = b""
            try:
                while piece := await reader.read(65536):
                    got += piece
            except ConnectionResetError:
                is_reset = True
        head, _, body = got.partition(b"\r\n\r\n")
        if b"Content-Length: 3" in head:
            assert body == b"hi"
        elif b"chunked" in head:
            assert not body.endswith(b"0\r\n\r\n")
        else:
            assert is_reset

    asyncio.run(run())


SURPLUS = {
    "more than its length": HI + b"more",
    "another answer": HI + HI,
    "a body after HEAD": answer(b"Content-Length: 2\r\n", b"hi"),
    "a body after 204": answer(b"Content-Length: 2\r\n", b"hi", b"HTTP/1.1 204 No Content"),
    "bytes after the last chunk": HI_CHUNKED + b"x",
}


@pytest.mark.parametrize("name", SURPLUS)
def test_surplus(name: str) -> None:
    """Unsolicited data makes the API's connection unusable, and is discarded."""
    request = HEAD if "HEAD" in name else GET
    script = Script([(request, SURPLUS[name]), (LIVES, OK)])

    async def run() -> None:
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b"chunked" in head:
                await reader.readuntil(b"0\r\n\r\n")
            elif b"204" not in head and request is GET:
                await reader.readexactly(2)
            writer.write(LIVES)
            assert await reader.readexactly(len(OK)) == OK
        assert script.asked == [request, LIVES]

    asyncio.run(run())

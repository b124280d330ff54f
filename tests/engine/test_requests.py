"""Requests: the bytes that the API receives, and which requests are refused and not forwarded (RFC 9112)."""

import asyncio

import pytest

from tests.engine.harness import CLOSE, Script, engine, refusal
from tests.tables import for_each

HOST = b"Host: x\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BYE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
LIVES = b"GET /lives HTTP/1.1\r\nHost: x\r\n\r\n"


def get(line: bytes = b"GET / HTTP/1.1", fields: bytes = b"", host: bytes = HOST) -> bytes:
    """Return a request without a body."""
    return line + b"\r\n" + host + fields + b"\r\n"


def post(fields: bytes, body: bytes, line: bytes = b"POST / HTTP/1.1") -> bytes:
    """Return a request with a body."""
    return line + b"\r\n" + HOST + fields + b"\r\n" + body


def chunked(body: bytes, fields: bytes = b"") -> bytes:
    """Return a request whose body is in chunks."""
    return post(fields + b"Transfer-Encoding: chunked\r\n", body)


# name: what the client sends, what the API gets. After each, the connection serves another request.
PASSED: dict[str, tuple[bytes, bytes]] = {
    "plain": (get(), get()),
    "query": (get(b"GET /a?b=c&d HTTP/1.1"), get(b"GET /a?b=c&d HTTP/1.1")),
    "dots and slashes": (get(b"GET /a//../b;c HTTP/1.1"), get(b"GET /a//../b;c HTTP/1.1")),
    "escapes": (get(b"GET /%41%zz%00 HTTP/1.1"), get(b"GET /%41%zz%00 HTTP/1.1")),
    "UTF-8 in the path": (get("GET /月 HTTP/1.1".encode()), get("GET /月 HTTP/1.1".encode())),
    "UTF-8 in the query": (get("GET /a?b=月 HTTP/1.1".encode()), get("GET /a?b=月 HTTP/1.1".encode())),
    "fragment": (get(b"GET /a?b#c HTTP/1.1"), get(b"GET /a?b#c HTTP/1.1")),
    "absolute form": (get(b"GET http://x/a?b HTTP/1.1"), get(b"GET /a?b HTTP/1.1")),
    "absolute form, https": (get(b"GET https://x/a HTTP/1.1"), get(b"GET /a HTTP/1.1")),
    "absolute form without a path": (get(b"GET http://x HTTP/1.1"), get(b"GET / HTTP/1.1")),
    "absolute form, only a query": (get(b"GET http://x?a HTTP/1.1"), get(b"GET /?a HTTP/1.1")),
    "absolute form, other case": (get(b"GET HTTP://X/a HTTP/1.1"), get(b"GET /a HTTP/1.1")),
    "asterisk form": (get(b"OPTIONS * HTTP/1.1"), get(b"OPTIONS * HTTP/1.1")),
    "OPTIONS of a path": (get(b"OPTIONS /a HTTP/1.1"), get(b"OPTIONS /a HTTP/1.1")),
    "DELETE": (get(b"DELETE /a HTTP/1.1"), get(b"DELETE /a HTTP/1.1")),
    "PATCH without a body": (get(b"PATCH /a HTTP/1.1"), get(b"PATCH /a HTTP/1.1", b"Content-Length: 0\r\n")),
    "QUERY": (get(b"QUERY /a HTTP/1.1"), get(b"QUERY /a HTTP/1.1")),
    "one empty line first": (b"\r\n" + get(), get()),
    "many empty lines first": (b"\r\n" * 5 + get(), get()),
    "bare line feeds first": (b"\n\n" + get(), get()),
    "spelling, order and duplicates": (
        get(fields=b"X-b: 1\r\nx-A: 2\r\nX-B: 3\r\n"),
        get(fields=b"X-b: 1\r\nx-A: 2\r\nX-B: 3\r\n"),
    ),
    "the Host in another case": (get(host=b"hOsT: x\r\n"), get(host=b"hOsT: x\r\n")),
    "the Host last": (get(fields=b"A: b\r\n" + HOST, host=b""), get(fields=b"A: b\r\n" + HOST, host=b"")),
    "an empty Host": (get(host=b"Host:\r\n"), get(host=b"Host: \r\n")),
    "a Host with a port": (get(host=b"Host: x:80\r\n"), get(host=b"Host: x:80\r\n")),
    "an IPv6 Host": (get(host=b"Host: [::1]:80\r\n"), get(host=b"Host: [::1]:80\r\n")),
    "blanks around a value": (get(fields=b"A: \t b c \t\r\n"), get(fields=b"A: b c\r\n")),
    "no blank before a value": (get(fields=b"A:b\r\n"), get(fields=b"A: b\r\n")),
    "an empty value": (get(fields=b"A:\r\nB: c\r\n"), get(fields=b"A: \r\nB: c\r\n")),
    "a tab in a value": (get(fields=b"A: b\tc\r\n"), get(fields=b"A: b\tc\r\n")),
    "Latin-1 in a value": (get(fields=b"A: \xe9\xff\r\n"), get(fields=b"A: \xe9\xff\r\n")),
    "UTF-8 in a value": (get(fields="A: 月\r\n".encode()), get(fields="A: 月\r\n".encode())),
    "all signs of a name": (get(fields=b"!#$%&'*+-.^_`|~9z: b\r\n"), get(fields=b"!#$%&'*+-.^_`|~9z: b\r\n")),
    "an underscore in a name": (get(fields=b"Content_Length: 5\r\n"), get(fields=b"Content_Length: 5\r\n")),
    "length": (post(b"Content-Length: 3\r\n", b"abc"), post(b"Content-Length: 3\r\n", b"abc")),
    "length 0": (post(b"Content-Length: 0\r\n", b""), post(b"Content-Length: 0\r\n", b"")),
    "length with zeros before": (post(b"Content-Length: 003\r\n", b"abc"), post(b"Content-Length: 3\r\n", b"abc")),
    "length with blanks": (post(b"Content-Length:  3 \r\n", b"abc"), post(b"Content-Length: 3\r\n", b"abc")),
    "length in its place": (
        post(b"A: b\r\ncontent-length: 3\r\nC: d\r\n", b"abc"),
        post(b"A: b\r\nContent-Length: 3\r\nC: d\r\n", b"abc"),
    ),
    "GET with a body": (
        post(b"Content-Length: 3\r\n", b"abc", b"GET / HTTP/1.1"),
        post(b"Content-Length: 3\r\n", b"abc", b"GET / HTTP/1.1"),
    ),
    "DELETE with a body": (
        post(b"Content-Length: 3\r\n", b"abc", b"DELETE / HTTP/1.1"),
        post(b"Content-Length: 3\r\n", b"abc", b"DELETE / HTTP/1.1"),
    ),
    "NUL and line ends in a body": (
        post(b"Content-Length: 6\r\n", b"\0\r\n\r\nG"),
        post(b"Content-Length: 6\r\n", b"\0\r\n\r\nG"),
    ),
    "chunks": (chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), chunked(b"5\r\nabcde\r\n0\r\n\r\n")),
    "no chunk": (chunked(b"0\r\n\r\n"), chunked(b"0\r\n\r\n")),
    "chunk size in capitals": (chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), chunked(b"a\r\n0123456789\r\n0\r\n\r\n")),
    "chunk size with zeros before": (chunked(b"0003\r\nabc\r\n000\r\n\r\n"), chunked(b"3\r\nabc\r\n0\r\n\r\n")),
    "chunk extension": (chunked(b'3;a=b;c="d e"\r\nabc\r\n0;f\r\n\r\n'), chunked(b"3\r\nabc\r\n0\r\n\r\n")),
    "Chunked in another case": (
        post(b"Transfer-Encoding: CHUNKed\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
        chunked(b"3\r\nabc\r\n0\r\n\r\n"),
    ),
    "trailers": (
        chunked(b"3\r\nabc\r\n0\r\nT: v\r\nt:  w \r\n\r\n"),
        chunked(b"3\r\nabc\r\n0\r\nT: v\r\nt: w\r\n\r\n"),
    ),
    "Expect with a body that has come": (
        post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"),
        post(b"Content-Length: 3\r\n", b"abc"),
    ),
    "Expect without a body": (get(fields=b"Expect: 100-continue\r\n"), get()),
    "Connection: keep-alive": (get(fields=b"Connection: keep-alive\r\n"), get()),
    "Keep-Alive and Proxy-Connection": (
        get(fields=b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n"),
        get(),
    ),
    "fields of one connection": (
        get(fields=b"Connection: a, X-B\r\nA: 1\r\nX-b: 2\r\nC: 3\r\n"),
        get(fields=b"C: 3\r\n"),
    ),
    "a key named in Connection": (
        get(fields=b"Connection: authorization, host\r\nAuthorization: Bearer k\r\n"),
        get(fields=b"Authorization: Bearer k\r\n"),
    ),
    "TE: trailers": (get(fields=b"TE: trailers\r\n"), get(fields=b"TE: trailers\r\n")),
    "another TE": (get(fields=b"TE: gzip\r\n"), get()),
    "Upgrade without Connection": (get(fields=b"Upgrade: websocket\r\n"), get()),
    "h2c": (get(fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"), get()),
    "h2c with a body": (
        post(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n", b"abc"),
        post(b"Content-Length: 3\r\n", b"abc"),
    ),
    "h2c with chunks": (
        chunked(b"3\r\nabc\r\n0\r\nT: v\r\n\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        chunked(b"3\r\nabc\r\n0\r\nT: v\r\n\r\n"),
    ),
    "an upgrade that is refused": (
        get(fields=b"Connection: Upgrade\r\nUpgrade: foo\r\n"),
        get(fields=b"Connection: Upgrade\r\nUpgrade: foo\r\n"),
    ),
    "HTTP/1.0, kept alive": (get(b"GET / HTTP/1.0", b"Connection: keep-alive\r\n"), get()),
}


@pytest.mark.parametrize("name", PASSED)
def test_passed(name: str) -> None:
    """The API receives exactly these bytes, whole or byte by byte, and the connection stays usable."""
    sent, expected = PASSED[name]

    async def run(pieces: list[bytes]) -> None:
        script = Script([(expected, OK), (LIVES, OK)])
        async with engine(script) as running:
            reader, writer = await running.connect()
            for piece in pieces:
                writer.write(piece)
                if len(pieces) > 1:
                    await asyncio.sleep(0)
            answer = await reader.readuntil(b"hi")
            assert answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
            writer.write(LIVES)
            assert await reader.readuntil(b"hi") == OK
        assert script.asked == [expected, LIVES]
        assert script.surplus == b""

    asyncio.run(run([sent]))
    if len(sent) < 100:
        asyncio.run(run([sent[at : at + 1] for at in range(len(sent))]))


LONG = b"a" * 1_500_000
# name: what the client sends, the status that it gets. Nothing reaches the API, and the connection is closed.
REFUSED: dict[str, tuple[bytes, int]] = {
    "no Host": (get(host=b""), 400),
    "two Hosts": (get(host=HOST + HOST), 400),
    "two Hosts that differ": (get(host=HOST + b"Host: y\r\n"), 400),
    "two Hosts in HTTP/1.0": (get(b"GET / HTTP/1.0", host=HOST + HOST), 400),
    "a list of Hosts": (get(host=b"Host: x, y\r\n"), 400),
    "a Host with a blank": (get(host=b"Host: x y\r\n"), 400),
    "a Host with a path": (get(host=b"Host: x/y\r\n"), 400),
    "a Host with a user": (get(host=b"Host: u@x\r\n"), 400),
    "Host and target differ": (get(b"GET http://y/ HTTP/1.1"), 400),
    "a user in the target": (get(b"GET http://u@x/ HTTP/1.1"), 400),
    "another scheme": (get(b"GET ftp://x/ HTTP/1.1"), 400),
    "a relative target": (get(b"GET a HTTP/1.1"), 400),
    "asterisk form of GET": (get(b"GET * HTTP/1.1"), 400),
    "authority form of GET": (get(b"GET x:80 HTTP/1.1"), 400),
    "CONNECT": (get(b"CONNECT x:80 HTTP/1.1"), 405),
    "an unknown method": (get(b"FOO / HTTP/1.1"), 501),
    "a method in small letters": (get(b"get / HTTP/1.1"), 501),
    "no method": (get(b" / HTTP/1.1"), 501),
    "a tab after the method": (get(b"GET\t/ HTTP/1.1"), 501),
    "a blank in the target": (get(b"GET /a b HTTP/1.1"), 400),
    "a tab in the target": (get(b"GET /a\tb HTTP/1.1"), 400),
    "NUL in the target": (get(b"GET /a\0b HTTP/1.1"), 400),
    "CR in the target": (get(b"GET /a\rb HTTP/1.1"), 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "HTTP/0.9, said": (get(b"GET / HTTP/0.9"), 505),
    "HTTP/1.2": (get(b"GET / HTTP/1.2"), 400),
    "HTTP/2.0": (get(b"GET / HTTP/2.0"), 505),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/2's preface and more": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 30, 505),
    "a version in small letters": (get(b"GET / http/1.1"), 400),
    "a version with more digits": (get(b"GET / HTTP/1.10"), 400),
    "a blank after the version": (get(b"GET / HTTP/1.1 "), 400),
    "a bare LF after the first line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "a bare LF after a field": (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
    "a bare LF after the head": (b"GET / HTTP/1.1\r\nHost: x\r\n\n", 400),
    "only bare LFs": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "a bare CR in a value": (get(fields=b"A: b\rC: d\r\n"), 400),
    "CR CR LF": (get(fields=b"A: b\r\r\n"), 400),
    "folding with a blank": (get(fields=b"A: b\r\n c\r\n"), 400),
    "folding with a tab": (get(fields=b"A: b\r\n\tc\r\n"), 400),
    "a blank before the first field": (b"GET / HTTP/1.1\r\n " + HOST + b"\r\n", 400),
    "a blank before the colon": (get(fields=b"A : b\r\n"), 400),
    "a tab before the colon": (get(fields=b"A\t: b\r\n"), 400),
    "a blank in a name": (get(fields=b"A b: c\r\n"), 400),
    "no colon": (get(fields=b"A\r\n"), 400),
    "no name": (get(fields=b": b\r\n"), 400),
    "UTF-8 in a name": (get(fields="月: b\r\n".encode()), 400),
    "a bracket in a name": (get(fields=b"A(: b\r\n"), 400),
    "NUL in a name": (get(fields=b"A\0: b\r\n"), 400),
    "NUL in a value": (get(fields=b"A: b\0c\r\n"), 400),
    "ESC in a value": (get(fields=b"A: b\x1bc\r\n"), 400),
    "DEL in a value": (get(fields=b"A: b\x7fc\r\n"), 400),
    "both lengths": (chunked(b"0\r\n\r\n", b"Content-Length: 5\r\n"), 400),
    "both lengths, the other way": (
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
        400,
    ),
    "two lengths that differ": (post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"), 400),
    "two equal lengths": (post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), 400),
    "a list of lengths": (post(b"Content-Length: 3, 4\r\n", b"abcd"), 400),
    "a negative length": (post(b"Content-Length: -3\r\n", b"abc"), 400),
    "a length with a sign": (post(b"Content-Length: +3\r\n", b"abc"), 400),
    "a hexadecimal length": (post(b"Content-Length: 0x3\r\n", b"abc"), 400),
    "a length with an underscore": (post(b"Content-Length: 1_0\r\n", b"0123456789"), 400),
    "a decimal length": (post(b"Content-Length: 3.0\r\n", b"abc"), 400),
    "an empty length": (post(b"Content-Length:\r\n", b"abc"), 400),
    "a length in words": (post(b"Content-Length: three\r\n", b"abc"), 400),
    "a length beyond 64 bits": (post(b"Content-Length: 99999999999999999999\r\n", b"abc"), 400),
    "chunked twice": (post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
    "chunked in two fields": (chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"), 400),
    "chunked not last": (post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400),
    "another coding": (post(b"Transfer-Encoding: gzip\r\n", b"abc"), 501),
    "gzip in chunks": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "identity": (post(b"Transfer-Encoding: identity\r\n", b""), 501),
    "a coding like chunked": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 501),
    "chunked after a vertical tab": (post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    "chunked with a parameter": (post(b"Transfer-Encoding: chunked;a=b\r\n", b"0\r\n\r\n"), 501),
    "an empty coding": (post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), 400),
    "chunks in HTTP/1.0": (post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"POST / HTTP/1.0"), 400),
    "a chunk size that is none": (chunked(b"x\r\nabc\r\n0\r\n\r\n"), 400),
    "no chunk size": (chunked(b"\r\nabc\r\n0\r\n\r\n"), 400),
    "a negative chunk size": (chunked(b"-3\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk size with 0x": (chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk size with a sign": (chunked(b"+3\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk size with an underscore": (chunked(b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"), 400),
    "a blank after a chunk size": (chunked(b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    "a blank before a chunk size": (chunked(b" 3\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk size beyond 64 bits": (chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    "a bare LF after a chunk size": (chunked(b"3\nabc\r\n0\r\n\r\n"), 400),
    "a bare CR after a chunk size": (chunked(b"3\rabc\r\n0\r\n\r\n"), 400),
    "a bare LF after a chunk": (chunked(b"3\r\nabc\n0\r\n\r\n"), 400),
    "no line end after a chunk": (chunked(b"3\r\nabc0\r\n\r\n"), 400),
    "a chunk longer than its size": (chunked(b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    "a line feed in a chunk extension": (chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
    "a bare LF after the last chunk": (chunked(b"0\n\r\n"), 400),
    "a bare LF in a trailer": (chunked(b"0\r\nA: b\n\r\n"), 400),
    "a trailer without a colon": (chunked(b"0\r\nA\r\n\r\n"), 400),
    "another expectation": (post(b"Expect: a miracle\r\nContent-Length: 3\r\n", b"abc"), 417),
    "a target that is too long": (b"GET /" + LONG, 414),
    "a value that is too long": (b"GET / HTTP/1.1\r\nA: " + LONG, 431),
    "a name that is too long": (b"GET / HTTP/1.1\r\n" + LONG, 431),
    "too many fields": (get(fields=b"A: b\r\n" * 1000), 431),
    "a trailer that is too long": (chunked(b"0\r\nA: " + LONG), 431),
    "a chunk extension that is too long": (chunked(b"3;" + LONG), 431),
    "endless empty lines": (b"\r\n" * 750_000, 431),
    "binary": (bytes(range(1, 256)), 501),
    "a body of another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", 501),
    "a redis command": (b"*1\r\n$4\r\nPING\r\n", 501),
}


@for_each("name", REFUSED)
def test_refused(name: str) -> None:
    """The client gets an error in the API's format and its connection is closed; the API receives nothing."""
    sent, expected = REFUSED[name]

    async def run() -> None:
        script = Script([])
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(sent)
            status, message = refusal(await reader.read())
            assert (status, bool(message)) == (expected, True)
            assert running.service.pool.take(running.service.target) is None
        assert script.asked == []
        assert script.surplus == b""

    asyncio.run(run())


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLING = {
    "both lengths": chunked(b"0\r\n\r\n" + SMUGGLED, b"Content-Length: 5\r\n"),
    "a line end in a value": get(fields=b"A: b\r\n\x00\r\n" + SMUGGLED),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "a coding with a blank before the colon": post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "a length after a bare CR": post(b"A: b\rContent-Length: 50\r\n", SMUGGLED),
    "two lengths": post(b"Content-Length: 0\r\nContent-Length: 36\r\n", SMUGGLED),
    "a wrapped chunk size": chunked(b"100000000\n0\r\n\r\n" + SMUGGLED),
    "a chunk extension with a line end": chunked(b"0;\n" + SMUGGLED),
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling(name: str) -> None:
    """No part of an ambiguous request is taken for another request (request smuggling)."""

    async def run() -> None:
        script = Script([])
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(SMUGGLING[name])
            status, _ = refusal(await reader.read())
            assert status == 400
        assert script.asked == []
        assert script.surplus == b""

    asyncio.run(run())


def test_the_close_mark_is_no_http() -> None:
    """No request contains the marker that ends a script's answer."""
    assert CLOSE not in OK + BYE

"""What hooks change of a call, and where they send it."""

import asyncio
from collections.abc import Iterable

import pytest
from mitmproxy.http import HTTPFlow, Response

from tests.engine.harness import Script, engine, refusal
from tests.engine.hooked import OK, POST, Acting, call

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"


@pytest.mark.parametrize("name", ["request", "requestheaders"])
def test_an_answer_of_an_addon(name: str) -> None:
    """If an addon sets the answer, the API is not called, and the answer passes through the hooks."""

    def answer(flow: HTTPFlow) -> None:
        flow.response = Response.make(418, b"tea", {"X": "y"})

    acting = Acting(**{name: answer})
    script = Script([])
    got = call(acting, script)
    assert got.startswith(b"HTTP/1.1 418 I'm a teapot\r\n")
    assert got.endswith(b"tea")
    assert acting.of_flow == ["requestheaders", "request", "responseheaders", "response"]
    assert script.asked == []


def test_changes_of_request_and_answer() -> None:
    """Messages are forwarded as the addons changed them, with correct lengths."""

    def change_request(flow: HTTPFlow) -> None:
        flow.request.text = "longer than before"
        flow.request.headers["A"] = "b"
        flow.request.method = "PUT"

    def change_answer(flow: HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.text = "changed"
        flow.response.status_code = 201
        flow.response.headers["Content-Length"] = "1"

    acting = Acting(request=change_request, response=change_answer)
    sent = b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\nA: b\r\n\r\nlonger than before"
    got = call(acting, Script([(sent, OK)]))
    assert got == b"HTTP/1.1 201 OK\r\nContent-Length: 7\r\n\r\nchanged"


def test_a_line_end_in_a_header_goes_nowhere() -> None:
    """A line end that an addon puts into a header cannot inject a request; the client gets an error."""

    def change(flow: HTTPFlow) -> None:
        flow.request.headers["A"] = "b\r\nC: d"

    acting = Acting(request=change)
    script = Script([])

    async def run() -> bytes:
        async with engine(script, acting) as running:
            reader, writer = await running.connect()
            writer.write(POST)
            return await reader.read()

    assert refusal(asyncio.run(run()))[0] == 502
    assert script.asked == []


@pytest.mark.parametrize("stored", [False, True])
def test_a_stream_of_an_addon(stored: bool) -> None:
    """A stream's callable gets each piece and the end, and its results are sent, and stored if required."""
    got: list[bytes] = []

    def change(data: bytes) -> Iterable[bytes] | bytes:
        got.append(data)
        return [data.upper(), b"-"] if data else b"end"

    def stream(flow: HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = change

    acting = Acting(responseheaders=stream)
    answer = call(acting, Script([(POST, CHUNKED)]), store_streamed_bodies=stored)
    assert got == [b"h", b"i", b""]
    assert answer.partition(b"\r\n\r\n")[2] == b"1\r\nH\r\n1\r\n-\r\n1\r\nI\r\n1\r\n-\r\n3\r\nend\r\n0\r\n\r\n"
    response = acting.flow().response
    assert response is not None
    assert response.raw_content == (b"H-I-end" if stored else None)


def test_large_answers_stream_where_mitmproxy_is_told_so() -> None:
    """`stream_large_bodies` streams larger answers."""
    acting = Acting()
    assert call(acting, Script([(POST, CHUNKED)]), stream_large_bodies="1") == CHUNKED
    response = acting.flow().response
    assert response is not None
    assert response.raw_content is None


def test_a_request_that_is_sent_elsewhere() -> None:
    """An addon may redirect a request."""
    elsewhere = Script([])

    async def run() -> bytes:
        async with engine(elsewhere, limits=None) as other:
            there = f"127.0.0.1:{other.upstream_port}"
            expected = POST.replace(b"Host: x", f"Host: {there}".encode())
            elsewhere.exchanges.append((expected, OK))

            def redirect(flow: HTTPFlow) -> None:
                flow.request.port = other.upstream_port  # mitmproxy changes the Host with it

            async with engine(Script([]), Acting(request=redirect)) as running:
                reader, writer = await running.connect()
                writer.write(POST)
                return await reader.readexactly(len(OK))

    assert asyncio.run(run()) == OK
    assert len(elsewhere.asked) == 1

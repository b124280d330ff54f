"""Client connections over time: pipelining, early answers, half-closed connections, timeouts."""

import asyncio

import pytest
from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.engine import parsing
from moonpalace_addons.engine.limits import Limits
from tests.engine.harness import Script, engine, read_head, refusal
from tests.engine.talking import ALL, GET, OK, Noting, get, text_answer


class Refusing(Noting):
    """Refuse every call in `requestheaders`."""

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Set the answer."""
        super().requestheaders(flow)
        flow.response = Response.make(401, b"no", {"Content-Type": "text/plain"})


def test_pipelined_requests_are_answered_in_order() -> None:
    """Pipelined requests are forwarded one at a time, and answered in order."""
    paths = [f"/{number}" for number in range(20)]
    script = Script([(get(path), text_answer(path)) for path in paths])

    async def run() -> None:
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(b"".join(map(get, paths)))
            for path in paths:
                assert await reader.readexactly(len(text_answer(path))) == text_answer(path)

    asyncio.run(run())


def test_a_pipelined_request_after_a_bad_one_is_not_read() -> None:
    """An unreadable request closes the connection, after earlier requests are answered."""
    script = Script([(get("/a"), text_answer("/a"))])

    async def run() -> None:
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(get("/a") + b"GET / HTTP/1.1\r\nHost : x\r\n\r\n" + get("/b"))
            assert await reader.readexactly(len(text_answer("/a"))) == text_answer("/a")
            assert refusal(await reader.read())[0] == 400

    asyncio.run(run())
    assert script.asked == [get("/a")]


def test_what_follows_a_request_that_closes_is_not_read() -> None:
    """No request is served after one with `Connection: close`."""
    closing = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    script = Script([(get("/a"), text_answer("/a"))])

    async def run() -> None:
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(closing + get("/b"))
            assert (await reader.read()).endswith(b"/a")

    asyncio.run(run())
    assert script.asked == [get("/a")]


def test_expect_is_answered_when_the_body_is_wanted() -> None:
    """A client with `Expect: 100-continue` gets 100 before its body, and then the answer."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    script = Script([(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", OK)])

    async def run() -> None:
        async with engine(script) as running:
            reader, writer = await running.connect()
            writer.write(head)
            assert await read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert await reader.readexactly(len(OK)) == OK

    asyncio.run(run())


@pytest.mark.parametrize("expects", [True, False])
def test_a_refusal_by_the_head_comes_before_the_body(expects: bool) -> None:
    """A refusal in `requestheaders` is sent at once, without 100 Continue, and the body is not read."""
    noting = Refusing()

    async def run() -> None:
        async with engine(Script([]), noting) as running:
            reader, writer = await running.connect()
            extra = b"Expect: 100-continue\r\n" if expects else b""
            writer.write(
                b"POST / HTTP/1.1\r\nHost: x\r\n" + extra + b"Content-Length: 1000000000\r\n\r\n" + b"a" * 100_000
            )
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 ")
            assert b"Connection: close" in head
            assert body == b"no"

    asyncio.run(run())
    assert noting.hooks == ALL
    assert noting.flows[0].request.raw_content is None


def test_a_client_that_goes_on_sending_still_gets_its_refusal() -> None:
    """The connection is not reset while a client sends its whole body before it reads."""
    sent = 3_000_000

    async def run() -> None:
        async with engine(Script([]), Refusing(), limits=Limits(linger_timeout=3.0)) as running:
            reader, writer = await running.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % sent)
            for _ in range(30):
                writer.write(b"a" * (sent // 30))
                await writer.drain()
                await asyncio.sleep(0.002)
            assert (await reader.read()).endswith(b"no")

    asyncio.run(run())


def test_a_refusal_of_a_request_without_a_body_keeps_the_connection() -> None:
    """After a refusal without unread data the connection stays usable."""

    async def run() -> None:
        async with engine(Script([]), Refusing()) as running:
            reader, writer = await running.connect()
            for _ in range(3):
                writer.write(GET)
                head = await read_head(reader)
                assert head.startswith(b"HTTP/1.1 401 ")
                assert b"Connection" not in head
                assert await reader.readexactly(2) == b"no"

    asyncio.run(run())


def test_chunks_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request with too many chunks is refused; the count is per request."""
    monkeypatch.setattr(parsing, "MAX_CHUNKS", 10)
    post = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def run() -> None:
        passed = post + b"9\r\n012345678\r\n0\r\n\r\n"
        async with engine(Script([(passed, text_answer("ok"))] * 2)) as running:
            reader, writer = await running.connect()
            for _ in range(2):
                writer.write(post + b"".join(b"1\r\n%d\r\n" % digit for digit in range(9)) + b"0\r\n\r\n")
                assert await reader.readexactly(len(text_answer("ok"))) == text_answer("ok")
            writer.write(post + b"1\r\nx\r\n" * 11)
            assert refusal(await reader.read()) == (
                400,
                "MoonPalace did not send this request: the request cannot be read: its body has more than 10 chunks",
            )

    asyncio.run(run())


@pytest.mark.parametrize(
    "body", [b"Content-Length: 11\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n"]
)
def test_a_body_beyond_the_limit(body: bytes) -> None:
    """Too large a body is refused as early as possible, by its length or by the data received."""
    noting = Noting()

    async def run() -> None:
        async with engine(Script([]), noting, limits=Limits(max_body_size=10, linger_timeout=0.1)) as running:
            reader, writer = await running.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + body)
            status, message = refusal(await reader.read())
            assert (status, "more than 10 bytes (setting max-body)" in message) == (413, True)

    asyncio.run(run())
    assert noting.hooks[0] == "requestheaders"
    assert noting.hooks[1].startswith("error: the request's body has more")

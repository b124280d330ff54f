"""The engine's `Control` of calls in progress."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from mitmproxy.http import HTTPFlow

from moonpalace_addons.engine import journey
from moonpalace_addons.mitm import flow_control
from tests.engine.harness import Script, engine, read_head, refusal

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"2\r\n{}\r\n0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Ending:
    """Stream the answer, and send the rest if it fails."""

    def __init__(self, rest: bytes) -> None:
        self.rest = rest
        self.finished: list[bool] = []

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Have the answer streamed."""
        assert flow.response is not None
        flow.response.stream = True

    def error(self, flow: HTTPFlow) -> None:
        """Do as the capture does with a merged stream that is lost after its last event."""
        self.finished.append(flow_control.finish_answer(flow, self.rest))


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Abort an answer after its start."""
    await read_head(reader)
    writer.write(HEAD + b"1\r\na\r\n")


@pytest.mark.parametrize("rest", [b"the rest", b""])
def test_an_answer_that_was_cut_is_finished(rest: bytes) -> None:
    """The client gets the rest and a clean end, and its next request is served on the same connection."""
    ending = Ending(rest)

    async def run() -> None:
        async with engine(cut, ending) as running:
            reader, writer = await running.connect()
            for _ in range(2):
                writer.write(GET)
                assert await read_head(reader) == HEAD
                chunk = b"8\r\nthe rest\r\n" if rest else b""
                end = await reader.readuntil(b"0\r\n\r\n")
                assert end == b"1\r\na\r\n" + chunk + b"0\r\n\r\n"

    asyncio.run(run())
    assert ending.finished == [True, True]


@pytest.mark.parametrize("leave", [asyncio.StreamWriter.close, lambda writer: writer.transport.abort()])
def test_nothing_is_finished_for_a_client_that_has_left(leave: Callable[[asyncio.StreamWriter], None]) -> None:
    """`finish_answer` returns False once the client is gone."""
    ending = Ending(b"the rest")

    async def go_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(HEAD + b"1\r\na\r\n")
        await reader.read()

    async def run() -> None:
        async with engine(go_on, ending) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            await reader.readuntil(b"a\r\n")
            leave(writer)
            while not ending.finished:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert ending.finished == [False]


class Asking:
    """Note whether answers have come whole when their heads are seen."""

    def __init__(self) -> None:
        self.found: list[bool] = []
        self.seen = asyncio.Event()

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Do as the capture does with a JSON document."""
        self.found.append(flow_control.has_come_whole(flow))
        self.seen.set()


@pytest.mark.parametrize("cut", [0, 1, len(BODY) - 1, len(BODY)])
def test_an_answer_has_come_whole_once_its_end_is_read(cut: int) -> None:
    """Only the last byte makes an answer whole: without it, even a document that looks complete may be truncated."""
    asking = Asking()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(HEAD + BODY[:cut])
        await asking.seen.wait()
        writer.write(BODY[cut:])
        await reader.read()

    async def run() -> None:
        async with engine(serve, asking) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            assert await read_head(reader) == HEAD
            assert await reader.readuntil(b"0\r\n\r\n") == BODY

    asyncio.run(run())
    assert asking.found == [cut == len(BODY)]


class Editing:
    """Edit answers, as mitmproxy's `--modify-body` does."""

    def response(self, flow: HTTPFlow) -> None:
        """Replace the body."""
        assert flow.response is not None
        flow.response.content = b"edited"


class Reading:
    """Note what had come of answers before they were edited."""

    def __init__(self) -> None:
        self.found: list[bytes] = []

    def response(self, flow: HTTPFlow) -> None:
        """Do as the capture does."""
        self.found.append(flow_control.partial_body(flow))


def test_what_came_can_be_read_after_an_edit() -> None:
    """An addon sees the body that the API sent, also if one before it has replaced it."""
    reading = Reading()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

    async def run() -> None:
        async with engine(Script([(GET, answer)]), Editing(), reading) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            assert await reader.readuntil(b"edited")

    asyncio.run(run())
    assert reading.found == [b"hi"]


class Retrying:
    """Hold each answer, and have its request sent again."""

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Do as the context cache does with a refusal."""
        flow_control.allow_retry(flow)


def test_a_refusal_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A held refusal has a maximum size, above which the API's connection is closed."""
    monkeypatch.setattr(journey, "MAX_REFUSAL_SIZE", 1000)
    left = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(HEAD.replace(b"200 OK", b"400 Bad"))
        with suppress(ConnectionError):
            while True:
                writer.write(b"%x\r\n%b\r\n" % (500, bytes(500)))
                await writer.drain()
                await asyncio.sleep(0)
        left.set()

    async def run() -> tuple[int, str]:
        async with engine(endless, Retrying()) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            answer = await reader.read()
            await left.wait()
            return refusal(answer)

    assert asyncio.run(run()) == (
        502,
        "MoonPalace got no answer from the API: the API refused the request with more than 1000 bytes",
    )

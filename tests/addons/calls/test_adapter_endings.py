"""Forced streams whose upstream breaks off, over real sockets."""

import asyncio
import json

import pytest
from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.adapter import Adapter
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.mitm.headers import set_headers
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from tests.addons.proxied import ask, proxied, read_chunk

DELTA = '{"id": "cmpl-1", "choices": [{"index": 0, "delta": {"content": "moon"}, "finish_reason": %s}]}'
USAGE = '{"id": "cmpl-1", "choices": [], "usage": {"completion_tokens": 1}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Forced:
    """Merge each answer, and finish it where its upstream failed."""

    def __init__(self) -> None:
        self.finished: list[bool] = []
        self.adapter: Adapter

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Put the adapter between upstream and client."""
        assert flow.response is not None
        call = Call(flow, 0, [], "", "/v1/chat/completions")
        self.adapter = Adapter(flow, call, None, StreamEditor(Plan(CHAT_COMPLETIONS, coerce=True)), coerce=True)
        flow.response.stream = call.state(StreamEdit).adapter = self.adapter
        set_headers(flow, coerce=True)

    def error(self, _: HTTPFlow) -> None:
        """Do what the capture does."""
        self.finished.append(self.adapter.finish())


async def merged(*events: str, engine: bool, reset: bool = False) -> tuple[Forced, bytes]:
    """Return what a client gets if upstream closes the connection after these events, without an end."""
    forced = Forced()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        stream = "".join(f"data: {event}\n\n" for event in events).encode()
        writer.write(HEAD + b"%x\r\n%b\r\n" % (len(stream), stream))
        await writer.drain()
        if reset:
            await asyncio.sleep(0.05)
            writer.transport.abort()

    async with proxied(serve, forced, engine=engine) as (reader, writer):
        await ask(reader, writer)
        try:
            answer = await read_chunk(reader)
            assert await reader.readuntil(b"\r\n\r\n") == b"0\r\n\r\n"
        except (asyncio.IncompleteReadError, ValueError):
            answer = b""
        return forced, answer


@pytest.mark.parametrize("last", [(DELTA % '"stop"', "[DONE]"), (DELTA % '"stop"', USAGE)], ids=["done", "usage"])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("engine", [True, False], ids=["engine", "mitmproxy"])
def test_an_answer_that_is_all_there_reaches_its_client(last: tuple[str, ...], reset: bool, engine: bool) -> None:
    """If upstream breaks off after `[DONE]`, or after the last reason and the usage, the client gets the answer."""
    forced, answer = asyncio.run(merged(DELTA % "null", *last, engine=engine, reset=reset))
    assert forced.finished == [True]
    assert json.loads(answer)["choices"][0]["message"]["content"] == "moonmoon"


@pytest.mark.parametrize("events", [(DELTA % "null",), (DELTA % "null", DELTA % '"stop"'), (USAGE,)])
@pytest.mark.parametrize("engine", [True, False], ids=["engine", "mitmproxy"])
def test_half_an_answer_stays_broken(events: tuple[str, ...], engine: bool) -> None:
    """If something may be missing, the client sees a broken transfer."""
    forced, answer = asyncio.run(merged(*events, engine=engine))
    assert (forced.finished, answer) == ([False], b"")

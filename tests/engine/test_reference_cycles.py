"""What a call leaves behind is freed at its end, by reference counting: a collection would delay all streams.

Garbage that waits for a collection also fragments the memory of a proxy with many calls at once.
"""

import asyncio
import gc
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.capture import Capture
from moonpalace_addons.causes import Causes
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.edit_stream import EditStream
from moonpalace_addons.engine.events import End, RequestHead
from moonpalace_addons.engine.parsing import RequestReader
from moonpalace_addons.force_stream import ForceStream
from moonpalace_addons.json_errors import JsonErrors
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.tunnels import Tunnels
from moonpalace_cli.mock.certificate import Certificate
from tests.addons.captured import Kept
from tests.engine.harness import Engine, engine, read_head, reset

OURS = ("moonpalace_addons", "mitmproxy", "httptools", "wsproto")
BODY = b'{"model": "kimi-k3", "messages": []}'
ASK = (
    b"POST /v1/chat/completions?%b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: %b\r\n"
    b"Content-Length: 36\r\n\r\n" + BODY
)
DOCUMENT = b'{"choices": [{"message": {"content": "hi"}}]}'
EVENTS = b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}}]}\n\n', b"data: [DONE]\n\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS)
JSON_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: 45\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi\x88\x00"
ANSWERS = {
    b"document": JSON_HEAD % b"200 OK" + DOCUMENT,
    b"refusal": JSON_HEAD % b"401 Unauthorized" + DOCUMENT,
    b"events": STREAM_HEAD + CHUNKS + b"0\r\n\r\n",
    b"endless": STREAM_HEAD + CHUNKS,
    b"half": STREAM_HEAD + CHUNKS[:50],
    b"websocket": AGREE,
    b"nothing": b"",
    b"nonsense": b"HTTP/1.1 nonsense\r\n\r\n",
}
UPGRADE = (
    b"GET /?websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
CASES = {
    "a document": [ASK % (b"document", b"close")],
    "documents on one connection": [ASK % (b"document", b"keep-alive"), ASK % (b"document", b"close")],
    "a refusal": [ASK % (b"refusal", b"close")],
    "events": [ASK % (b"events", b"close")],
    "an answer that breaks off": [ASK % (b"half", b"close")],
    "an API that closes": [ASK % (b"nothing", b"close")],
    "an answer that is not HTTP": [ASK % (b"nonsense", b"close")],
    "no API": [ASK % (b"unreachable", b"close")],
    "no outgoing proxy": [ASK % (b"proxied", b"close")],
    "an outgoing proxy that refuses": [ASK % (b"refused", b"close")],
    "a request that is not HTTP": [b"nonsense\r\n\r\n"],
    "half a request": [ASK[:-10] % (b"document", b"close")],
    "a WebSocket": [UPGRADE],
}
LEAVES = "a client that leaves"
EDITS = {"passed": {}, "edited": {"detect-repeat": "true"}, "forced": {"force-stream": "true"}}
EDITED = ("a document", "a refusal", "events", "an answer that breaks off", LEAVES)


class Unreachable:
    """Send some calls where nobody listens, or to an outgoing proxy."""

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Change the port, or the proxy, which is the API itself."""
        if flow.request.path.endswith("?unreachable"):
            flow.request.port = 1
        if flow.request.path.endswith("?proxied"):
            flow.server_conn.via = ("http", ("127.0.0.1", 1))
        if flow.request.path.endswith("?refused"):
            flow.server_conn.via = ("http", ("127.0.0.1", flow.request.port))


def addons(**given: str) -> list[object]:
    """Return the addons that keep something of a call."""
    configuration = Configuration(resolve(dict(given), {"MOONPALACE_HOME": "/nowhere"}))
    calls, kept, causes = Calls(), Kept(configuration), Causes()
    capture = Capture(configuration, kept, calls, causes.of)
    forcing, tunnels = ForceStream(configuration, calls), Tunnels(configuration, calls, kept)
    editing, errors = EditStream(configuration, calls), JsonErrors(configuration, causes.of)
    hooks = SimpleNamespace(responseheaders=editing.responseheaders, response=editing.response)
    return [Unreachable(), causes, forcing, tunnels, capture, hooks, errors]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request as its query asks for, and close the connection unless that was a document."""
    name = b"document"
    while name == b"document":
        head = await read_head(reader)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        name = head.partition(b"?")[2].partition(b" ")[0]
        if name != b"websocket":
            await reader.readexactly(len(BODY))
        writer.write(ANSWERS[name])
    if name == b"endless":
        await reader.read()


async def ask(running: Engine, requests: list[bytes], tls: ssl.SSLContext | None = None) -> None:
    """Make calls on one connection, and wait until the engine has closed it."""
    reader, writer = await running.connect(tls)
    for request in requests[:-1]:
        writer.write(request)
        await reader.readexactly(len(ANSWERS[b"document"]))
    writer.write(requests[-1])
    if requests == CASES["half a request"]:
        writer.write_eof()
    await reader.read()
    await until_closed(running)


async def leave(running: Engine, tls: ssl.SSLContext | None = None) -> None:
    """Make a call, and leave before the end of its answer."""
    reader, writer = await running.connect(tls)
    writer.write(ASK % (b"endless", b"close"))
    await reader.read(1)
    reset(writer)
    await until_closed(running)


async def until_closed(running: Engine) -> None:
    """Wait until the engine has neither clients nor tasks."""
    while running.service.connections or len(asyncio.all_tasks()) > 3:  # noqa: ASYNC110
        await asyncio.sleep(0)


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """Count the objects of ours that only a collection would free, by type, while the block runs."""
    found: Counter[str] = Counter()
    gc.disable()
    gc.freeze()  # what there is by now is not looked at
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith(OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize(
    ("case", "edits"),
    [(case, "passed") for case in (*CASES, LEAVES)] + [(case, edits) for case in EDITED for edits in list(EDITS)[1:]],
)
def test_a_finished_call_leaves_no_cycles(case: str, edits: str) -> None:
    """However a call ends, nothing of it waits for the garbage collector."""

    async def run() -> None:
        async with engine(serve, *addons(**EDITS[edits])) as running:
            with garbage() as found:
                await (leave(running) if case == LEAVES else ask(running, CASES[case]))
            assert not found

    asyncio.run(run())


@pytest.mark.parametrize("case", ["a document", LEAVES])
def test_a_call_over_tls_leaves_no_cycles(case: str, certificate: Certificate) -> None:
    """The same, with TLS on both sides."""

    async def run() -> None:
        trusting = ssl.create_default_context(cafile=certificate.ca_file)
        tls = certificate.context()
        async with engine(serve, *addons(), tls=tls, api_tls=tls, ssl_insecure=True) as running:
            with garbage() as found:
                await (leave(running, trusting) if case == LEAVES else ask(running, CASES[case], trusting))
            assert not found

    asyncio.run(run())


def test_an_idle_connection_keeps_nothing_of_its_last_request() -> None:
    """Between two requests a reader has neither the head, with its key, nor the body of the one before."""
    reader = RequestReader()
    events = reader.feed(ASK % (b"document", b"keep-alive"), 10_000)
    assert [type(event) for event in events] == [RequestHead, End]
    assert not [name for name, value in vars(reader).items() if value == events or value in events]

"""Touch mitmproxy's internals, as `relay` and `trailers` do; what is relied on is tested against real sockets."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import cast

from mitmproxy import ctx, optmanager
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, Connection, Server
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow, Request
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.events import Event, MessageInjected
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
)
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionHandler

from moonpalace_addons.control import HEARTBEAT as HEARTBEAT  # what `inject_heartbeat` gives a response's stream
from moonpalace_addons.control import Gate, control_of
from moonpalace_addons.lingering import linger

logger = logging.getLogger(__name__)


def proxyserver() -> Proxyserver:
    """Return mitmproxy's own addon that holds the sockets."""
    return cast(Proxyserver, ctx.master.addons.get("proxyserver"))


def was_set(option: str) -> bool:
    """Tell whether somebody set a mitmproxy option, be it to its default."""
    known = getattr(ctx.options, "_options", {}).get(option)
    return known is not None and known.value is not optmanager.unset


def mode_of_clients(server: ServerInstance[ProxyMode]) -> ProxyMode:
    """Return the mode that the flows of a server name: those of our engine can be read by any mitmproxy."""
    mode: ProxyMode = getattr(server, "client_mode", server.mode)
    return mode


def listen_on_tcp_only(mode: str) -> None:
    """Keep a reverse proxy to an https address from listening on UDP too, for HTTP/3 clients that we do not have."""
    parsed = ProxyMode.parse(mode)  # cached: the proxy server parses the same text to the same object
    if parsed.transport_protocol == "both":
        parsed.transport_protocol = "tcp"  # type: ignore[misc]


ANSWERED = "moonpalace_answered"
"""Set in the metadata of a flow that `answer_and_close` has answered."""


def raw_answer(status: int, body: bytes, *, head_only: bool = False) -> bytes:
    """Return JSON as an HTTP response that ends its connection."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)


def answer_and_close(flow: HTTPFlow, status: int, body: bytes) -> bool:
    """Give a client whose upstream failed a JSON answer instead of mitmproxy's HTML, then close its connection.

    Only while no byte of an answer has been sent. Returns False if the client is gone, has been answered so already, or
    speaks TLS with us: what is written here would reach it unencrypted.
    """
    if (control := control_of(flow)) is not None:
        return control.answer_and_close(status, body)
    if flow.client_conn.tls or ANSWERED in flow.metadata:
        return False
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    if handler is None or transport is None or transport.writer is None or transport.writer.is_closing():
        return False
    if flow.request.timestamp_end is None and isinstance(transport.writer, asyncio.StreamWriter):
        linger(transport.writer)
    transport.writer.write(raw_answer(status, body, head_only=flow.request.method == "HEAD"))
    flow.metadata[ANSWERED] = True
    if flow.killable:
        flow.kill()
    handler.close_connection(flow.client_conn)
    return True


def finish_answer(flow: HTTPFlow, rest: bytes) -> bool:
    """Give a client the rest of an answer whose upstream failed, and its end, before mitmproxy closes the connection.

    Returns False if the client is gone, or if it speaks TLS with us, as with `answer_and_close`.
    """
    if (control := control_of(flow)) is not None:
        return control.finish_answer(rest)
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    writer = transport.writer if transport else None
    if flow.client_conn.tls or flow.response is None or writer is None or writer.is_closing():
        return False
    is_chunked = "chunked" in flow.response.headers.get("transfer-encoding", "").lower()
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest) if is_chunked else rest)
    return True


def close_client(flow: HTTPFlow, *, flush: bool = False) -> None:
    """Close the client's connection as it is, so that it sees a broken transfer, never a short one that looks whole.

    With `flush`, what waits for the client goes out first, if it takes it.
    """
    if (control := control_of(flow)) is not None:
        control.close_client(flush=flush)
        return
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    if handler is None or transport is None:
        return
    if isinstance(transport.writer, asyncio.StreamWriter) and not flush:
        transport.writer.transport.abort()  # at once: mitmproxy may be about to write the end of the answer
    handler.close_connection(flow.client_conn)


def close_upstream(flow: HTTPFlow) -> None:
    """Close the connection to upstream, which stops generating when it notices."""
    if (control := control_of(flow)) is not None:
        control.close_upstream()
        return
    handler = connection_of(flow)
    if handler is not None and flow.server_conn in handler.transports:
        handler.close_connection(flow.server_conn)


class _EndOfResponse(MessageInjected[None], ResponseEndOfMessage):
    """The end of a response as if upstream had sent it: routed as the one, handled as the other."""

    def __init__(self, flow: HTTPFlow, stream_id: int) -> None:
        self.flow = flow
        self.message = None
        self.stream_id = stream_id


class _Data(MessageInjected[None], ResponseData):
    """A piece of a response as if upstream had sent it."""

    def __init__(self, flow: HTTPFlow, stream_id: int, data: bytes) -> None:
        self.flow = flow
        self.message = None
        self.stream_id = stream_id
        self.data = data


ENDED_EARLY = "moonpalace_ended_early"
"""Set in the metadata of a flow whose response `end_response` has ended."""


def end_response(flow: HTTPFlow) -> None:
    """End a response that upstream is still sending: cleanly for the client, once what was returned is sent.

    Where this mitmproxy cannot do that, the client's connection is closed, and the log says why. To be called by the
    response's stream, thus on the loop.
    """
    flow.metadata[ENDED_EARLY] = True
    if (control := control_of(flow)) is not None:
        control.end_response()
        return
    # Not yet: upstream's own end may stand in the very bytes that mitmproxy is about to go on with.
    asyncio.get_running_loop().call_soon(_end_response, flow)


def _end_response(flow: HTTPFlow) -> None:
    if is_over(flow):
        return
    if _is_busy(flow):  # once that has been handled, the response may be over
        asyncio.get_running_loop().call_soon(_end_response, flow)
        return
    try:
        proxyserver().inject_event(_EndOfResponse(flow, _live_stream(flow).stream_id))
    except Exception:
        logger.exception("a response could not be ended early, so its client's connection is closed")
        close_client(flow)


def inject_heartbeat(flow: HTTPFlow) -> None:
    """Call a response's stream with `HEARTBEAT`, unless it is over: mitmproxy would fail to find the stream.

    So it would after other events that wait to be handled, or while the stream waits for a hook, if all of the response
    has come meanwhile.
    """
    if (control := control_of(flow)) is not None:
        control.inject_heartbeat()
        return
    if is_over(flow) or _is_busy(flow):
        return
    if (stream := _live_stream(flow))._paused is None:  # noqa: SLF001
        proxyserver().inject_event(_Data(flow, stream.stream_id, HEARTBEAT))


def _is_busy(flow: HTTPFlow) -> bool:
    """Tell whether events wait for the layers of a flow's connection, behind which another one would have to wait."""
    return has_events(connection_of(flow))


def has_events(handler: ConnectionHandler | None) -> bool:
    """Tell whether events wait for the layers of a connection."""
    lock = getattr(handler, "_server_event_lock", None)
    return lock is not None and (lock.locked() or bool(getattr(lock, "_waiters", None)))


def is_over(flow: HTTPFlow) -> bool:
    """Tell whether nothing more can come of a response: it has ended or broken, or the client is gone."""
    if (control := control_of(flow)) is not None:
        return control.is_over
    has_ended = flow.response is not None and flow.response.timestamp_end is not None
    return has_ended or flow.error is not None or connection_of(flow) is None


def _live_stream(flow: HTTPFlow) -> HttpStream:
    stream = stream_of(flow)
    if stream is None:
        raise ValueError("the flow's connection has no such response")
    return stream


def hold_answer(flow: HTTPFlow, gate: Gate) -> bool:
    """Have a gate hold back an answer, instead of collecting it; tell whether that can be done.

    To be called in `responseheaders`, for an answer that is not streamed. The last gate counts.
    """
    if (control := control_of(flow)) is not None:
        control.hold_answer(gate)
        return True
    try:
        stream = stream_of(flow)
    except Exception:
        logger.exception("an answer cannot be held back because of a fault in MoonPalace")
        return False
    if stream is not None:
        stream.state_consume_response_body = _Held(stream, gate).receive
    return stream is not None


class _Held:
    """Takes the place of what collects an answer."""

    def __init__(self, stream: HttpStream, gate: Gate) -> None:
        self.stream = stream
        self.gate = gate

    def receive(self, event: Event) -> CommandGenerator[None]:
        """Begin to stream the answer once the gate wants it, or pass it on whole."""
        stream = self.stream
        try:
            output = self._ask(event)
        except Exception:
            logger.exception("an answer cannot be passed on because of a fault in MoonPalace")
            close_client(stream.flow)
            return
        if output is not None:
            yield from stream.start_response_stream()
            for piece in output:
                yield SendHttp(ResponseData(stream.stream_id, piece), stream.context.client)
            if stream.context.options.store_streamed_bodies:
                stream.response_body_buf += b"".join(output)
            if self.gate.breaks:
                close_client(stream.flow)
        if isinstance(event, ResponseData):
            return
        # Its end; or its trailers, which are sent behind it.
        if output is None:
            yield from HttpStream.state_consume_response_body(stream, event)
        else:
            yield from stream.server_state(event)

    def _ask(self, event: Event) -> Sequence[bytes] | None:
        if isinstance(event, ResponseData):
            return self.gate.beat() if event.data is HEARTBEAT else self.gate.take([event.data])
        if not isinstance(event, ResponseEndOfMessage):
            return None
        output = self.gate.end()
        if output is None:
            self.stream.response_body_buf += self.gate.whole
        return output


@dataclass
class RefusedHook(StartHook):
    """Call the addons' hook `moonpalace_refused` with an answer that is whole and has not been passed on."""

    flow: HTTPFlow
    name = "moonpalace_refused"


def offer_second_try(flow: HTTPFlow) -> None:
    """Have the hook `moonpalace_refused` called once this answer is whole, instead of passing it on at once.

    If the hook takes the answer away (`flow.response = None`), the request, which it may have changed, is sent again,
    and what comes back is treated like a first answer: streamed or not, with all hooks. To be called in
    `responseheaders`, for an answer that is not streamed.
    """
    if (control := control_of(flow)) is not None:
        control.offer_second_try()
        return
    stream = stream_of(flow)
    if stream is not None:
        stream.send_response = partial(_refused, stream)  # type: ignore[method-assign]


def _refused(stream: HttpStream, already_streamed: bool = False) -> CommandGenerator[None]:
    del stream.send_response  # the one of the class again: a second try has no third
    # Also lets the connection finish with the answer before it has to take another request.
    yield RefusedHook(stream.flow)
    if (yield from stream.check_killed(True)):
        return
    if stream.flow.response is not None:
        yield from stream.send_response(already_streamed)
        return
    stream.server_state = stream.state_wait_for_response_headers
    if not (yield from stream.make_server_connection()):
        return
    request, content = stream.flow.request, stream.flow.request.raw_content or b""
    yield SendHttp(RequestHeaders(stream.stream_id, request, end_stream=not content), stream.context.server)
    if content:
        yield SendHttp(RequestData(stream.stream_id, content), stream.context.server)
    yield SendHttp(RequestEndOfMessage(stream.stream_id), stream.context.server)


MAX_FETCHED = 16_000_000
OWN = "moonpalace_own"
"""Set in the metadata of a flow that no client began."""


def is_own(flow: HTTPFlow) -> bool:
    """Tell whether a flow is a request of our own."""
    return OWN in flow.metadata


async def fetch(request: Request) -> HTTPFlow:
    """Send a request of our own the way that calls go: same certificates, same outgoing proxy. Return its flow.

    The flow has a response or an error: this too if the answer has more than `MAX_FETCHED` bytes. Cancelling closes the
    connection. What listens to mitmproxy's hooks sees it.
    """
    # It brings half of mitmproxy's event loop of replays, which only caches need.
    from mitmproxy.addons.clientplayback import ReplayHandler

    nowhere = ("127.0.0.1", 0)
    client = Client(peername=nowhere, sockname=nowhere, timestamp_start=time.time())
    flow = HTTPFlow(client, Server(address=(request.host, request.port)))
    flow.request = request
    flow.metadata[OWN] = True
    handler, fetched = ReplayHandler(flow, ctx.options), bytearray()
    handle_hook = handler.handle_hook

    def keep(data: bytes) -> list[bytes]:
        fetched.extend(data)
        if len(fetched) > MAX_FETCHED:
            flow.error = Error(f"an answer of more than {MAX_FETCHED} bytes")
            handler.done.set()
        return []

    async def handle(hook: StartHook) -> None:
        if isinstance(hook, HttpResponseHeadersHook) and flow.response is not None:
            flow.response.stream = keep
        await handle_hook(hook)

    handler.handle_hook = handle  # type: ignore[method-assign]
    try:
        await handler.replay()
        if flow.response is not None:
            flow.response.raw_content = bytes(fetched)
    finally:
        for transport in list(handler.transports.values()):
            if transport.handler is not None:
                transport.handler.cancel()
    return flow


def watch_closing(client: Client, note: Callable[[Connection, BaseException | None], None]) -> None:
    """Have `note` called with each connection of a client, its own too, that mitmproxy is about to close.

    It gets the exception with which a connection was lost as well, None if it was not.
    """
    handler = proxyserver().connections.get(client.id)
    if handler is None:
        return
    close = handler.close_connection

    def noted(connection: Connection, half_close: bool = False) -> None:
        transport = handler.transports.get(connection)
        reader = transport.reader if transport else None
        note(connection, reader.exception() if isinstance(reader, asyncio.StreamReader) else None)
        close(connection, half_close)

    handler.close_connection = noted  # type: ignore[method-assign]


def last_activity(flow: HTTPFlow) -> float | None:
    """Return the time of the last event on a flow's connections, None if they are gone.

    mitmproxy takes it from the wall clock (seconds since the epoch): it tells one event from another, nothing more.
    """
    if (control := control_of(flow)) is not None:
        return control.last_activity
    handler = connection_of(flow)
    return handler.timeout_watchdog.last_activity if handler else None


def postpone_timeout(flow: HTTPFlow) -> float | None:
    """Begin mitmproxy's own limit of silence anew; return what counts as the last event from now on.

    It is counted by the wall clock: without this, a clock that is set forward would end all calls.
    """
    handler = connection_of(flow)
    if handler is not None:
        handler.timeout_watchdog.register_activity()
    return last_activity(flow)


def unsent(flow: HTTPFlow) -> int:
    """Return how many bytes wait for a flow's client to take them; beyond a bound, upstream is not read meanwhile."""
    if (control := control_of(flow)) is not None:
        return control.unsent
    writer = writer_of(flow)
    return writer.transport.get_write_buffer_size() if writer is not None else 0


def unsent_at_end(flow: HTTPFlow, before: int) -> int:
    """Return how many bytes a client has not taken that is leaving; `before` is what was known of that.

    asyncio forgets what waits on a connection that is lost, such as by a client that closes it without reading.
    """
    if control_of(flow) is not None:
        return unsent(flow)
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    reader = transport.reader if transport else None
    is_lost = isinstance(reader, asyncio.StreamReader) and reader.exception() is not None
    return before if is_lost else unsent(flow)


def partial_body(flow: HTTPFlow) -> bytes:
    """Return what has come of an answer that mitmproxy was still collecting when it broke."""
    if (control := control_of(flow)) is not None:
        return control.partial_body
    stream = stream_of(flow)
    return bytes(stream.response_body_buf) if stream is not None else b""


def writer_of(flow: HTTPFlow) -> asyncio.StreamWriter | None:
    """Return what writes to a flow's client, None once its connection is closed."""
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    return transport.writer if transport is not None and isinstance(transport.writer, asyncio.StreamWriter) else None


def http_layer_of(flow: HTTPFlow) -> HttpLayer | None:
    """Return the layer that speaks HTTP with a flow's client, None once the connection is closed."""
    return http_layer_in(connection_of(flow))


def http_layer_in(handler: ConnectionHandler | None) -> HttpLayer | None:
    """Return the layer that speaks HTTP on a connection, None if there is none."""
    layer: object = handler.layer if handler else None
    while layer is not None and not isinstance(layer, HttpLayer):
        layer = getattr(layer, "child_layer", None) or getattr(layer, "layer", None)
    return layer


def stream_of(flow: HTTPFlow) -> HttpStream | None:
    """Return the layer that handles a flow, None once it is over."""
    layer = http_layer_of(flow)
    streams = layer.streams.values() if layer else ()
    return next((stream for stream in streams if getattr(stream, "flow", None) is flow), None)


def connection_of(flow: HTTPFlow) -> ConnectionHandler | None:
    """Return what handles the connection of a flow's client, None once it is closed."""
    return proxyserver().connections.get(flow.client_conn.id)

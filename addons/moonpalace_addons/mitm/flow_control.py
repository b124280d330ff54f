"""Control of a call in progress beyond mitmproxy's API for addons.

Our engine supports all of it, through the call's `Control`. With mitmproxy's own server, which runs if the user gives
`--mode`, only what works on its sockets is done: an answer is written past its layers, and the connection is closed
after it. Heartbeats, and holding an answer back, are not possible there.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketMessage

from moonpalace_addons.calls.control import HEARTBEAT as HEARTBEAT  # passed to a response's stream
from moonpalace_addons.calls.control import Gate, control_of
from moonpalace_addons.calls.ordered_uuid import ordered_uuid
from moonpalace_addons.mitm.proxy_server import connection_of, stream_of, writer_of

logger = logging.getLogger(__name__)

ANSWERED = "moonpalace_answered"
"""Set in the metadata of a flow that `answer_and_close` has answered."""
ENDED_EARLY = "moonpalace_ended_early"
"""Set in the metadata of a flow whose response `end_response` has ended."""


def raw_answer(status: int, body: bytes, *, head_only: bool = False) -> bytes:
    """Return a JSON response with `Connection: close`, as bytes."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)


def answer_and_close(flow: HTTPFlow, status: int, body: bytes) -> bool:
    """Send a JSON error instead of mitmproxy's HTML to a client whose upstream failed, and close its connection.

    Only before the first byte of an answer. Return False if the client is gone, has already been answered, or uses TLS
    with mitmproxy: this writes past the encryption.
    """
    if (control := control_of(flow)) is not None:
        return control.answer_and_close(status, body)
    handler, writer = connection_of(flow), plain_writer(flow)
    if handler is None or writer is None or ANSWERED in flow.metadata:
        return False
    writer.write(raw_answer(status, body, head_only=flow.request.method == "HEAD"))
    flow.metadata[ANSWERED] = True
    if flow.killable:
        flow.kill()
    handler.close_connection(flow.client_conn)
    return True


class Writer(Protocol):
    """A stream writer to a client."""

    def write(self, data: bytes) -> None: ...  # noqa: D102

    def is_closing(self) -> bool: ...  # noqa: D102


def plain_writer(flow: HTTPFlow) -> Writer | None:
    """Return the writer to a client of mitmproxy's server, or None if it is gone or uses TLS."""
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    writer: Writer | None = transport.writer if transport is not None and not flow.client_conn.tls else None
    return None if writer is None or writer.is_closing() else writer


def finish_answer(flow: HTTPFlow, rest: bytes) -> bool:
    """Send the rest and the end of an answer whose upstream failed, before the connection is closed.

    Return False if the client is gone, or uses TLS with mitmproxy, as `answer_and_close` does.
    """
    if (control := control_of(flow)) is not None:
        return control.finish_answer(rest)
    writer = plain_writer(flow)
    if flow.response is None or writer is None:
        return False
    if "chunked" in flow.response.headers.get("transfer-encoding", "").lower():
        rest = (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"
    writer.write(rest)
    return True


def close_client(flow: HTTPFlow, *, flush: bool = False) -> None:
    """Abort the client's connection, so that a truncated answer never looks complete.

    With `flush`, pending data is sent first, if the client reads it.
    """
    if (control := control_of(flow)) is not None:
        control.close_client(flush=flush)
        return
    handler, writer = connection_of(flow), writer_of(flow)
    if handler is None or flow.client_conn not in handler.transports:
        return
    if writer is not None and not flush:
        writer.transport.abort()  # now: mitmproxy may be about to write the end of the answer
    handler.close_connection(flow.client_conn)


def close_upstream(flow: HTTPFlow) -> None:
    """Close the connection to upstream, so that it stops generating."""
    if (control := control_of(flow)) is not None:
        control.close_upstream()
        return
    handler = connection_of(flow)
    if handler is not None and flow.server_conn in handler.transports:
        handler.close_connection(flow.server_conn)


def announce_close(flow: HTTPFlow) -> None:
    """Add `Connection: close` to an answer that may be ended early on mitmproxy's server.

    A client that reuses the connection at once would otherwise find it closed. Our engine keeps it open.
    """
    if control_of(flow) is None and flow.response is not None and flow.request.http_version == "HTTP/1.1":
        flow.response.headers["Connection"] = "close"


def can_finish(flow: HTTPFlow) -> bool:
    """Return whether an answer can be ended before its upstream ends it."""
    return control_of(flow) is not None or plain_writer(flow) is not None


def end_response(flow: HTTPFlow) -> None:
    """End a response that upstream is still sending, after the data that its stream returned.

    On our engine the client gets a clean end and keeps its connection. On mitmproxy's server the connection is closed
    after the end, which a TLS client does not see. Must be called on the event loop; the response's stream may do so.
    """
    flow.metadata[ENDED_EARLY] = True
    if (control := control_of(flow)) is not None:
        control.end_response()
    else:
        # Deferred: mitmproxy has yet to write what the stream returns, and upstream's own end may follow.
        asyncio.get_running_loop().call_soon(_end_and_close, flow)


def _end_and_close(flow: HTTPFlow) -> None:
    if is_over(flow):
        return
    try:
        finish_answer(flow, _flush_stream(flow))
    except Exception:
        logger.exception("the end of an answer was not sent because of a fault in MoonPalace")
    close_client(flow, flush=True)


def _flush_stream(flow: HTTPFlow) -> bytes:
    """Return the remaining data of a response's stream."""
    stream = flow.response.stream if flow.response is not None else None
    last = stream(b"") if callable(stream) else b""
    return last if isinstance(last, bytes) else b"".join(last or ())


def was_ended_early(flow: HTTPFlow) -> bool:
    """Return whether mitmproxy's server closed a client's connection because of `end_response`."""
    return control_of(flow) is None and ENDED_EARLY in flow.metadata


def inject_heartbeat(flow: HTTPFlow) -> None:
    """Call a response's stream with `HEARTBEAT` unless it is over; does nothing on mitmproxy's server."""
    if (control := control_of(flow)) is not None:
        control.inject_heartbeat()


def is_over(flow: HTTPFlow) -> bool:
    """Return whether a response has ended or failed, or its client is gone."""
    if (control := control_of(flow)) is not None:
        return control.is_over
    has_ended = flow.response is not None and flow.response.timestamp_end is not None
    return has_ended or flow.error is not None or connection_of(flow) is None


def hold_answer(flow: HTTPFlow, gate: Gate) -> bool:
    """Have a gate hold an answer back instead of collecting it; return False on mitmproxy's server, which cannot.

    Call it in `responseheaders`, for an answer that is not streamed. The last gate wins.
    """
    control = control_of(flow)
    if control is not None:
        control.hold_answer(gate)
    return control is not None


def has_come_whole(flow: HTTPFlow) -> bool:
    """Return whether an answer has come to its end, so that nothing can truncate it; False on mitmproxy's server.

    Ask it in `responseheaders`.
    """
    control = control_of(flow)
    return control is not None and control.has_come_whole


def identifier(flow: HTTPFlow) -> str:
    """Return an identifier of a call for the store: that of the flow on our engine, which no other call has.

    mitmweb replays flows on mitmproxy's own server, and each replay is a call.
    """
    return flow.id if control_of(flow) is not None else ordered_uuid()


def after_sending(flow: HTTPFlow, act: Callable[[], None]) -> None:
    """Call `act` once the request or the answer that the current hook lets pass is sent, or could not be.

    So what only the store needs delays nobody. Where the hook has to be awaited, `act` does not wait for that; on
    mitmproxy's server it is called at once.
    """
    control = control_of(flow)
    if control is None:
        act()
    else:
        control.after_sending(act)


def allow_retry(flow: HTTPFlow) -> None:
    """Call the hook `moonpalace_refused` once this answer is complete, before it is passed on.

    If the hook removes the answer (`flow.response = None`), the request, which it may change, is sent again, and the
    new answer is handled like a first one: streamed or not, with all hooks. Call it in `responseheaders`, for an answer
    that is not streamed. Does nothing on mitmproxy's server.
    """
    if (control := control_of(flow)) is not None:
        control.allow_retry()


def inject_message(flow: HTTPFlow, message: WebSocketMessage) -> bool:
    """Send a message into the WebSocket of a flow on our engine; return False if there is none."""
    control = control_of(flow)
    return control is not None and control.inject_message(message)


def last_activity(flow: HTTPFlow) -> float | None:
    """Return the time of the last event on a flow's connections, or None if they are gone.

    mitmproxy takes it from the wall clock (seconds since the epoch), so it is good only for telling events apart.
    """
    if (control := control_of(flow)) is not None:
        return control.last_activity
    handler = connection_of(flow)
    return handler.timeout_watchdog.last_activity if handler else None


def postpone_timeout(flow: HTTPFlow) -> float | None:
    """Restart mitmproxy's own idle timeout; return the new value of `last_activity`.

    It uses the wall clock: without this, setting the clock forward would end all calls.
    """
    handler = connection_of(flow)
    if handler is not None:
        handler.timeout_watchdog.register_activity()
    return last_activity(flow)


def unsent(flow: HTTPFlow) -> int:
    """Return the number of bytes not yet sent to a flow's client; above a limit, upstream is not read."""
    if (control := control_of(flow)) is not None:
        return control.unsent
    writer = writer_of(flow)
    return writer.transport.get_write_buffer_size() if writer is not None else 0


def unsent_at_end(flow: HTTPFlow, before: int) -> int:
    """Return the number of bytes not sent to a client that is disconnecting; `before` is the last known number.

    asyncio drops the buffer of a lost connection, such as one that the client closes without reading.
    """
    if control_of(flow) is not None:
        return unsent(flow)
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    reader = transport.reader if transport else None
    is_lost = isinstance(reader, asyncio.StreamReader) and reader.exception() is not None
    return before if is_lost else unsent(flow)


def partial_body(flow: HTTPFlow) -> bytes:
    """Return what has come of an answer that is being collected, or on our engine has been, before addons edit it."""
    if (control := control_of(flow)) is not None:
        return control.partial_body
    stream = stream_of(flow)
    return bytes(stream.response_body_buf) if stream is not None else b""

"""What our addons do to a call under way beyond mitmproxy's API for addons.

In our engine all of it can be done, by the `Control` of the call. With mitmproxy's own server, which runs where the
user gives `--mode`, what can be done with its sockets from outside is done: an answer is written past its layers, and
the connection closed behind it. Heartbeats, and holding an answer back, are not possible there.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Protocol

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.control import HEARTBEAT as HEARTBEAT  # what `inject_heartbeat` gives a response's stream
from moonpalace_addons.calls.control import Gate, control_of
from moonpalace_addons.mitm.proxy_server import connection_of, stream_of, writer_of

logger = logging.getLogger(__name__)

ANSWERED = "moonpalace_answered"
"""Set in the metadata of a flow that `answer_and_close` has answered."""
ENDED_EARLY = "moonpalace_ended_early"
"""Set in the metadata of a flow whose response `end_response` has ended."""


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
    speaks TLS with mitmproxy: what is written here would reach it unencrypted.
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
    """What writes to a client."""

    def write(self, data: bytes) -> None: ...  # noqa: D102

    def is_closing(self) -> bool: ...  # noqa: D102


def plain_writer(flow: HTTPFlow) -> Writer | None:
    """Return what writes to a client of mitmproxy's server, None if it is gone or what is written must be encrypted."""
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    writer: Writer | None = transport.writer if transport is not None and not flow.client_conn.tls else None
    return None if writer is None or writer.is_closing() else writer


def finish_answer(flow: HTTPFlow, rest: bytes) -> bool:
    """Give a client the rest of an answer whose upstream failed, and its end, before its connection is closed.

    Returns False if the client is gone, or if it speaks TLS with mitmproxy, as with `answer_and_close`.
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
    """Close the client's connection as it is, so that it sees a broken transfer, never a short one that looks whole.

    With `flush`, what waits for the client goes out first, if it takes it.
    """
    if (control := control_of(flow)) is not None:
        control.close_client(flush=flush)
        return
    handler, writer = connection_of(flow), writer_of(flow)
    if handler is None or flow.client_conn not in handler.transports:
        return
    if writer is not None and not flush:
        writer.transport.abort()  # at once: mitmproxy may be about to write the end of the answer
    handler.close_connection(flow.client_conn)


def close_upstream(flow: HTTPFlow) -> None:
    """Close the connection to upstream, which stops generating when it notices."""
    if (control := control_of(flow)) is not None:
        control.close_upstream()
        return
    handler = connection_of(flow)
    if handler is not None and flow.server_conn in handler.transports:
        handler.close_connection(flow.server_conn)


def announce_end(flow: HTTPFlow) -> None:
    """Say in the head of an answer that may be ended early that mitmproxy's server closes its connection behind it.

    Else a client that uses the connection again at once would find it closed. Our engine leaves it open.
    """
    if control_of(flow) is None and flow.response is not None and flow.request.http_version == "HTTP/1.1":
        flow.response.headers["Connection"] = "close"


def can_finish(flow: HTTPFlow) -> bool:
    """Tell whether an answer can be ended in the place of its upstream."""
    return control_of(flow) is not None or plain_writer(flow) is not None


def end_response(flow: HTTPFlow) -> None:
    """End a response that upstream is still sending, once what was returned is sent.

    In our engine its client gets a clean end and may go on; with mitmproxy's server its connection is closed behind the
    end, which it does not see if it speaks TLS. To be called on the loop, be it by the response's stream.
    """
    flow.metadata[ENDED_EARLY] = True
    if (control := control_of(flow)) is not None:
        control.end_response()
    else:
        # Not yet: mitmproxy has still to write what the stream returns, and upstream's own end may stand behind it.
        asyncio.get_running_loop().call_soon(_end_and_close, flow)


def _end_and_close(flow: HTTPFlow) -> None:
    if is_over(flow):
        return
    try:
        finish_answer(flow, _last_of(flow))
    except Exception:
        logger.exception("the end of an answer is not sent because of a fault in MoonPalace")
    close_client(flow, flush=True)


def _last_of(flow: HTTPFlow) -> bytes:
    """Return what a response's stream still has."""
    stream = flow.response.stream if flow.response is not None else None
    last = stream(b"") if callable(stream) else b""
    return last if isinstance(last, bytes) else b"".join(last or ())


def was_ended(flow: HTTPFlow) -> bool:
    """Tell whether it is for `end_response` that mitmproxy's server has closed a client's connection."""
    return control_of(flow) is None and ENDED_EARLY in flow.metadata


def inject_heartbeat(flow: HTTPFlow) -> None:
    """Call a response's stream with `HEARTBEAT`, unless it is over; not with mitmproxy's server."""
    if (control := control_of(flow)) is not None:
        control.inject_heartbeat()


def is_over(flow: HTTPFlow) -> bool:
    """Tell whether nothing more can come of a response: it has ended or broken, or the client is gone."""
    if (control := control_of(flow)) is not None:
        return control.is_over
    has_ended = flow.response is not None and flow.response.timestamp_end is not None
    return has_ended or flow.error is not None or connection_of(flow) is None


def hold_answer(flow: HTTPFlow, gate: Gate) -> bool:
    """Have a gate hold back an answer, instead of collecting it; tell whether that can be done: only in our engine.

    To be called in `responseheaders`, for an answer that is not streamed. The last gate counts.
    """
    control = control_of(flow)
    if control is not None:
        control.hold_answer(gate)
    return control is not None


def offer_second_try(flow: HTTPFlow) -> None:
    """Have the hook `moonpalace_refused` called once this answer is whole, instead of passing it on at once.

    If the hook takes the answer away (`flow.response = None`), the request, which it may have changed, is sent again,
    and what comes back is treated like a first answer: streamed or not, with all hooks. To be called in
    `responseheaders`, for an answer that is not streamed; not with mitmproxy's server.
    """
    if (control := control_of(flow)) is not None:
        control.offer_second_try()


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
    """Return what has come of an answer that was still being collected when it broke."""
    if (control := control_of(flow)) is not None:
        return control.partial_body
    stream = stream_of(flow)
    return bytes(stream.response_body_buf) if stream is not None else b""

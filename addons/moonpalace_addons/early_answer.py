"""Answer a request before it has been read to its end, and close its connection so that the answer is still seen.

mitmproxy sends an answer of an addon once all of the request is there, in memory. As `upstream`, this module touches
internals; where they are not as it knows them, the answer comes when mitmproxy gives it.
"""

from functools import partial

from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.commands import CloseConnection
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import ResponseData, ResponseHeaders
from mitmproxy.proxy.layers.http._hooks import HttpResponseHook

from moonpalace_addons import upstream
from moonpalace_addons.lingering import linger


def answer_early(flow: HTTPFlow) -> None:
    """Send the response of a flow now, and close; to be called in `requestheaders`, once the response is set."""
    if (stream := upstream.stream_of(flow)) is not None:
        # What mitmproxy asks when the hook is over.
        stream.check_killed = partial(_answered, stream)  # type: ignore[method-assign]


def _answered(stream: HttpStream, _emit_error_hook: bool) -> CommandGenerator[bool]:
    del stream.check_killed
    yield from send_and_close(stream)
    return True


def send_and_close(stream: HttpStream) -> CommandGenerator[None]:
    """Give the client the response of a stream's flow instead of reading on; what still comes is thrown away."""
    flow, client = stream.flow, stream.context.client
    if flow.response is None:
        return
    stream.client_state = stream.server_state = stream.state_errored
    stream.request_body_buf.clear()
    flow.live = False
    flow.response.headers["Connection"] = "close"
    yield HttpResponseHook(flow)
    if (writer := upstream.writer_of(flow)) is not None:
        linger(writer)
    yield SendHttp(ResponseHeaders(stream.stream_id, flow.response), client)
    if flow.response.raw_content and flow.request.method != "HEAD":
        yield SendHttp(ResponseData(stream.stream_id, flow.response.raw_content), client)
    yield CloseConnection(client)

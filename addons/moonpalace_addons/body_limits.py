"""Bound what is kept of bodies in memory while they come: refuse a request that is too large, let a held answer go."""

from functools import partial

from mitmproxy.http import HTTPFlow, Response
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._events import ResponseData

from moonpalace_addons import upstream
from moonpalace_addons.calls import Call, Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.early_answer import answer_early, send_and_close
from moonpalace_addons.failures import REQUEST_TOO_LARGE
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.tap import Tap
from moonpalace_addons.wire import api_error

MAX_HELD = 16_000_000
"""Bytes of an answer that mitmproxy collects for us: one that may be about what we added to the request."""


class BodyLimits:
    """Look at bodies while mitmproxy collects them, as it can do itself: but it would refuse answers, too."""

    name = "moonpalace-body-limits"

    def __init__(self, configuration: Configuration, recorder: Recorder, calls: Calls) -> None:
        self.configuration = configuration
        self.recorder = recorder
        self.calls = calls

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Refuse a request that says that it is too large, and be asked at each piece of a body."""
        call = self.calls.get(flow)
        if call is None or flow.response is not None:
            return
        limit = self.configuration.settings.max_body
        if declared_length(flow) > limit:
            refuse(call, limit)
            answer_early(flow)
        elif (stream := upstream.stream_of(flow)) is not None:
            stream.check_body_size = partial(self._check, call, stream)  # type: ignore[method-assign]

    def _check(self, call: Call, stream: HttpStream, request: bool) -> CommandGenerator[bool]:
        """Take the place of mitmproxy's method; return True if nothing more is to be done with the message."""
        if (yield from HttpStream.check_body_size(stream, request)):
            return True
        limit = self.configuration.settings.max_body
        if request and len(stream.request_body_buf) > limit:
            refuse(call, limit)
            yield from send_and_close(stream)
            return True
        if not request and len(stream.response_body_buf) > MAX_HELD:
            yield from self._let_go(call, stream)
        return False

    def _let_go(self, call: Call, stream: HttpStream) -> CommandGenerator[None]:
        """Pass on what has come of an answer, and from now on what comes."""
        response, held = stream.flow.response, bytes(stream.response_body_buf)
        if response is None or call.response is None:
            return
        stream.response_body_buf.clear()
        call.streaming = call.announced = True
        response.stream = Tap(call)
        self.recorder.put(call.response)
        yield from stream.start_response_stream()
        yield from stream.handle_event(ResponseData(stream.stream_id, held))


def declared_length(flow: HTTPFlow) -> int:
    """Return how many bytes a request says that its body has; 0 where it does not say so."""
    length = flow.request.headers.get("content-length", "").strip()
    return int(length) if length.isdecimal() and len(length) <= 18 else 0


def refuse(call: Call, limit: int) -> None:
    """Answer a request that is larger than the limit."""
    message = f"the request's body has more than {limit} bytes (setting max-body)"
    call.given_up = REQUEST_TOO_LARGE, message
    body = api_error.body(message, REQUEST_TOO_LARGE.kind, call.flow.request.path)
    call.flow.response = Response.make(413, body, {"Content-Type": "application/json"})

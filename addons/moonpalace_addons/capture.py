"""Capture calls: note what is asked and answered, and hand it to the writer. The bytes pass as they are."""

import time

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.calls.body_limits import declared_length, refuse_larger
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.failures import PROXY_STOPPED, REPEATING, UPSTREAM_CUT, Failure
from moonpalace_addons.calls.opening import Hold
from moonpalace_addons.calls.tap import Tap
from moonpalace_addons.causes import Causes
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.mitm.headers import as_text, media_type, pairs
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.stopping import STOPPED
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State
from moonpalace_addons.wire.foreign import quoted
from moonpalace_addons.wire.forms import is_json

SWITCHING_PROTOCOLS = 101


class Capture:
    """Turn flows into exchanges."""

    name = "moonpalace-capture"

    def __init__(self, configuration: Configuration, recorder: Recorder, calls: Calls, causes: Causes) -> None:
        self.configuration = configuration
        self.recorder = recorder
        self.calls = calls
        self.causes = causes

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Begin a call, with the headers as the client sent them."""
        if flow.response is not None or not self.configuration.concerns(flow):
            return
        path, _, query = flow.request.path.partition("?")
        # mitmproxy's own date of the request is of the wall clock: a moment for the row, no beginning of a measure.
        room = self.configuration.settings.max_body
        headers, together = pairs(flow.request.headers), self.calls.together
        call = Call(flow, time.monotonic_ns(), headers, query, path, room=room, together=together)
        self.calls.begin(call)
        refuse_larger(call, declared_length(flow), self.configuration.settings.max_body)

    def request(self, flow: HTTPFlow) -> None:
        """Have the row written: the request has been read whole."""
        call = self.calls.get(flow)
        if call is None:
            return
        if flow.response is not None:  # nothing goes upstream
            if call.given_up is None:  # refused by another addon
                self.calls.end(flow)
            return
        began = time.monotonic_ns()
        body = (flow.request.raw_content if call.body is None else call.body) or b""
        if not refuse_larger(call, len(body), self.configuration.settings.max_body):
            self._put_request(call, body)
        call.overhead += time.monotonic_ns() - began

    def _put_request(self, call: Call, body: bytes) -> None:
        call.request_read = True
        key = call.upstream_key.encode() if call.upstream_key else api_key(call.headers)
        named = {name.lower(): value for name, value in call.headers}
        self.recorder.put(
            RequestRead(
                uuid=call.uuid,
                started_at=int(call.flow.request.timestamp_start * 1e6),
                method=call.flow.request.method,
                endpoint=self.configuration.endpoint_of(call.flow),
                path=call.path,
                query=call.query,
                headers=as_text(call.headers),
                content_type=media_type(named.get("content-type")),
                content_encoding=named.get("content-encoding"),
                client_request_id=named.get("x-request-id"),
                body=body,
                api_key=key,
                secrets=self.configuration.own_secrets(),
                changes=tuple(call.changes),
                coerced=call.coerce,
            )
        )

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Decide how the answer passes: as it arrives, or, if it may be a JSON document, as `opening` says.

        mitmproxy's own server cannot hold an answer back: it collects what may be JSON, in memory and without a bound.
        """
        call = self.calls.get(flow)
        if call is None or flow.response is None:
            return
        began = time.monotonic_ns()
        call.response = started(call, flow.response)
        if flow.response.status_code == SWITCHING_PROTOCOLS:
            return  # what follows is no body
        if flow.response.stream or not (call.hold or is_json(call.response.content_type)):
            call.streaming = True
            flow.response.stream = Tap(call)
            self._announce(call)
        elif not call.hold:
            hold = Hold(flow, call, lambda: self._announce(call))
            call.opening = hold if flow_control.hold_answer(flow, hold) else None
        is_collected = not (call.streaming or call.opening)  # by mitmproxy's server, which gives it to `response`
        if call.coerce and not call.hold and not is_collected:  # what comes is kept from the beginning
            self._announce(call)
        call.overhead += time.monotonic_ns() - began

    def _announce(self, call: Call) -> None:
        """Tell the writer that an answer has begun, once; it takes what comes of it from then on."""
        if call.response is not None and not call.announced:
            call.announced = True
            self.recorder.put(call.response)

    def response(self, flow: HTTPFlow) -> None:
        """End a call that went well."""
        call = self.calls.get(flow)
        if call is not None and call.is_tunnel:
            self._announce(call)
            return
        call = self.calls.end(flow)
        if call is None or flow.response is None:
            return
        began = time.monotonic_ns()
        if call.response is None and call.request_read:  # that of a second try, which came whole
            call.response = started(call, flow.response)
        if flow.response.raw_content and not (call.chunks or call.announced):
            call.keep(call.now(), flow.response.raw_content)
        call.overhead += time.monotonic_ns() - began
        if not call.request_read:  # it was answered by us before it had been read
            self._put_request(call, b"")
        if call.given_up is not None:
            failure, message = call.given_up
            self._put_end(call, failure.state, failure, message)
        elif call.found is not None:
            self._put_end(call, State.REPEAT_INTERRUPTED, REPEATING, str(call.found))
        elif call.broken is not None:
            self._put_end(call, UPSTREAM_CUT.state, UPSTREAM_CUT, call.broken)
        else:
            self._put_end(call, State.COMPLETED)

    def error(self, flow: HTTPFlow) -> None:
        """End a call that failed, with what had come of its answer."""
        call = self.calls.end(flow)
        if call is None:
            return
        message = quoted(flow.error.msg) if flow.error else "unknown error"
        call.unsent = flow_control.unsent_at_end(flow, call.unsent)
        failure = self.causes.of(flow)
        if not call.request_read:
            self._put_request(call, b"")
        is_uncaptured = call.response is not None and not (call.chunks or call.announced)
        if is_uncaptured and (partial := flow_control.partial_body(flow)):
            call.keep(call.now(), partial)
        if call.found is not None:
            failure, message = REPEATING, str(call.found)
        elif call.broken is not None:
            failure, message = UPSTREAM_CUT, call.broken
        elif call.given_up is not None:
            failure, message = call.given_up
        elif is_whole(call, failure):
            self._put_end(call, State.COMPLETED)
            return
        self._put_end(call, failure.state, failure, message)

    def end_tunnel(self, call: Call, failure: Failure | None, message: str) -> None:
        """End a call whose answer led to another protocol, which has ended."""
        if call.given_up is not None:
            failure, message = call.given_up
        self._put_end(call, failure.state if failure else State.COMPLETED, failure, message if failure else None)

    def done(self) -> None:
        """End the calls of which mitmproxy has not said how they ended; `Stopping` has had it end them all."""
        for call in self.calls:
            self.calls.end(call.flow)
            if not call.request_read:
                self._put_request(call, b"")
            failure, message = call.given_up or (PROXY_STOPPED, STOPPED)
            self._put_end(call, failure.state, failure, message)

    def _put_end(self, call: Call, state: State, failure: Failure | None = None, message: str | None = None) -> None:
        self.recorder.put(
            ExchangeEnded(
                uuid=call.uuid,
                at=call.now(),
                state=state,
                overhead=call.overhead,
                error_kind=failure.kind if failure else None,
                error_message=message,
                response=None if call.announced else call.response,
                warnings=tuple(call.warnings),
                cut_at=call.cut_at,
                unsent=call.unsent if state is not State.COMPLETED else 0,
                dropped=call.dropped,
                cache_outcome=call.cache_outcome,
            )
        )


def is_whole(call: Call, failure: Failure) -> bool:
    """Tell whether a client has got all of an answer though it failed, or gets it now."""
    if flow_control.was_ended(call.flow):
        return True
    return failure.state is State.UPSTREAM_FAILED and call.adapter is not None and call.adapter.finish()


def started(call: Call, response: Response) -> ResponseStarted:
    """Return what the row says of the head of an answer that has just come."""
    return ResponseStarted(
        uuid=call.uuid,
        at=call.now(),
        status_code=response.status_code,
        headers=as_text(pairs(response.headers)),
        content_type=media_type(response.headers.get("content-type")),
        content_encoding=response.headers.get("content-encoding"),
        chunks=call.chunks,
    )


def api_key(headers: list[tuple[str, str]]) -> bytes | None:
    """Return the API key that a client sent, in either of the two headers that the API's faces know."""
    named = {name.lower(): value for name, value in headers}
    scheme, _, token = named.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip().encode()
    key = named.get("x-api-key", "").strip()
    return key.encode() or None

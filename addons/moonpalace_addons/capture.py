"""Capture calls: pass requests, answers and their ends to the writer. The bytes pass unchanged."""

import time
from functools import partial

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.caching.call_state import ContextCacheState
from moonpalace_addons.calls.body_limits import declared_length, refuse_larger
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.ending import STOPPED, ended
from moonpalace_addons.calls.failures import PROXY_STOPPED, UNKNOWN_ENDPOINT, Failure, FailureOf
from moonpalace_addons.calls.kept_answer import KeptAnswer
from moonpalace_addons.calls.opening import Hold
from moonpalace_addons.calls.stream_edit import adapter_of, is_forced, reason
from moonpalace_addons.calls.tap import Tap
from moonpalace_addons.calls.tunnel import Tunnel
from moonpalace_addons.configuration import REFUSED, Configuration
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.mitm.headers import media_type
from moonpalace_addons.mitm.quick_headers import named_fields
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.store.tasks import RequestRead, ResponseStarted, State
from moonpalace_addons.wire.foreign import quoted
from moonpalace_addons.wire.forms import is_json
from moonpalace_addons.wire.header_fields import as_text, text_of

SWITCHING_PROTOCOLS = 101


class Capture:
    """Record flows as exchanges."""

    name = "moonpalace-capture"

    def __init__(self, configuration: Configuration, recorder: Recorder, calls: Calls, failure_of: FailureOf) -> None:
        self.configuration = configuration
        self.recorder = recorder
        self.calls = calls
        self.failure_of = failure_of

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Start a call, with the headers that the client sent."""
        why = flow.metadata.get(REFUSED)
        if (flow.response is not None and why is None) or not self.configuration.concerns(flow):
            return
        path, _, query = flow.request.path.partition("?")
        # mitmproxy's own timestamp is of the wall clock: right for the row, but not for measuring durations.
        room = self.configuration.settings.max_body
        answer = KeptAnswer(room, self.calls.room)
        uuid = flow_control.identifier(flow)
        headers = flow.request.headers
        call = Call(flow, time.monotonic_ns(), headers.fields, query, path, answer, uuid, named=named_fields(headers))
        self.calls.begin(call)
        if why is not None:
            call.given_up = UNKNOWN_ENDPOINT, why
            return
        refuse_larger(call, declared_length(call), self.configuration.settings.max_body)

    def request(self, flow: HTTPFlow) -> None:
        """Have the row written, as the request is complete."""
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
            flow_control.after_sending(flow, partial(self._put_request, call, body))
        call.overhead += time.monotonic_ns() - began

    def _put_request(self, call: Call, body: bytes) -> None:
        call.request_read = True
        endpoint = self.configuration.endpoint_of(call.flow)
        task = RequestRead(
            uuid=call.uuid,
            started_at=int(call.flow.request.timestamp_start * 1e6),
            method=call.method,
            endpoint=endpoint.url,
            path=call.path,
            query=call.query,
            headers=as_text(call.fields),
            content_type=media_type(text_of(call.named, b"content-type")),
            content_encoding=text_of(call.named, b"content-encoding"),
            client_request_id=text_of(call.named, b"x-request-id"),
            body=body,
            api_key=call.api_key,
            secrets=self.configuration.own_secrets(),
            changes=tuple(call.changes),
            coerced=is_forced(call),
            endpoint_name=endpoint.name,
        )
        self.recorder.put(task)
        if b"upgrade" in call.named:
            call.add(task)  # for the calls within a WebSocket

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Stream the answer as it arrives, or, if it may be a JSON document, hold it (see `calls/opening.py`).

        One that has come whole, and is not to be edited, needs no hold: the engine collects it.
        mitmproxy's own server cannot hold an answer back: it collects possible JSON in memory, without a limit.
        """
        call = self.calls.get(flow)
        if call is None or flow.response is None:
            return
        began = time.monotonic_ns()
        call.response = started(call, flow.response)
        if flow.response.status_code == SWITCHING_PROTOCOLS:
            return  # no body follows
        cache = call.find(ContextCacheState)
        is_collected = cache is not None and cache.hold
        if flow.response.stream or not (is_collected or is_json(call.response.content_type)):
            call.streaming = True
            flow.response.stream = Tap(call)
            self._announce(call)
        elif not is_collected and (self.configuration.edits_streams or not flow_control.has_come_whole(flow)):
            self._hold(call)
        call.overhead += time.monotonic_ns() - began

    def _hold(self, call: Call) -> None:
        hold = Hold(call.flow, call, lambda: self._announce(call))
        if not flow_control.hold_answer(call.flow, hold):
            return
        call.add(hold)
        if is_forced(call):  # what comes is kept from the beginning
            self._announce(call)

    def _announce(self, call: Call) -> None:
        """Tell the writer once that an answer has started; from then on it reads the answer's chunks."""
        if call.response is not None and not call.announced:
            call.announced = True
            self.recorder.put(call.response)

    def response(self, flow: HTTPFlow) -> None:
        """End a successful call."""
        call = self.calls.get(flow)
        if call is not None and call.find(Tunnel) is not None:
            self._announce(call)
            return
        call = self.calls.end(flow)
        if call is None or flow.response is None:
            return
        began = time.monotonic_ns()
        if call.response is None and call.request_read:  # that of a second try, which came whole
            call.response = started(call, flow.response)
        if not (call.answer.chunks or call.announced):
            body = flow_control.partial_body(flow) or flow.response.raw_content
            if body:
                call.answer.keep(call.now(), body)
        call.overhead += time.monotonic_ns() - began
        flow_control.after_sending(flow, partial(self._put_end, call, call.now()))

    def _put_end(self, call: Call, at: int) -> None:
        if not call.request_read:  # it was answered by us before it had been read
            self._put_request(call, b"")
        self.recorder.put(ended(call, *(reason(call) or ()), at=at))

    def error(self, flow: HTTPFlow) -> None:
        """End a failed call, with the received part of its answer."""
        call = self.calls.end(flow)
        if call is None:
            return
        call.unsent = flow_control.unsent_at_end(flow, call.unsent)
        failure = self.failure_of(flow)
        if not call.request_read:
            self._put_request(call, b"")
        is_uncaptured = call.response is not None and not (call.answer.chunks or call.announced)
        if is_uncaptured and (partial := flow_control.partial_body(flow)):
            call.answer.keep(call.now(), partial)
        why = reason(call)
        if why is None and not is_whole(call, failure):
            why = failure, quoted(flow.error.msg) if flow.error else "unknown error"
        self.recorder.put(ended(call, *(why or ())))

    def done(self) -> None:
        """End calls whose end mitmproxy has not reported, though `Stopping` has closed all connections."""
        for call in self.calls:
            self.calls.end(call.flow)
            if not call.request_read:
                self._put_request(call, b"")
            self.recorder.put(ended(call, *(call.given_up or (PROXY_STOPPED, STOPPED))))


def is_whole(call: Call, failure: Failure) -> bool:
    """Tell whether the client got a complete answer although the call failed, finishing it if possible."""
    if flow_control.was_ended_early(call.flow):
        return True
    adapter = adapter_of(call)
    return failure.state is State.UPSTREAM_FAILED and adapter is not None and adapter.finish()


def started(call: Call, response: Response) -> ResponseStarted:
    """Return the task with the head of an answer."""
    named = named_fields(response.headers)
    return ResponseStarted(
        uuid=call.uuid,
        at=call.now(),
        status_code=response.status_code,
        headers=as_text(response.headers.fields),
        content_type=media_type(text_of(named, b"content-type")),
        content_encoding=text_of(named, b"content-encoding"),
        chunks=call.answer.chunks,
    )

"""The course of one call, from the head of its request through mitmproxy's hooks to the end of its answer."""

import time
from typing import TYPE_CHECKING, Literal

from moonpalace_addons.calls.body_limits import too_large
from moonpalace_addons.calls.control import CONTROLS, Gate
from moonpalace_addons.engine import framing
from moonpalace_addons.engine.base_journey import BaseJourney
from moonpalace_addons.engine.errors import (
    CallError,
    InternalError,
    RequestError,
    ResponseError,
)
from moonpalace_addons.engine.events import End, Event, Malformed, Pieces, RequestHead, ResponseHead, Switch
from moonpalace_addons.engine.journey_control import JourneyControl
from moonpalace_addons.engine.limits import MAX_REFUSAL_SIZE
from moonpalace_addons.engine.messages import make_response
from moonpalace_addons.engine.phases import Phase
from moonpalace_addons.engine.tunnel import Tunnel, WebSocketTunnel
from moonpalace_addons.engine.watching import WatchedTunnel
from moonpalace_addons.mitm.quick_headers import make_headers

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.client import ClientConnection


class Journey(BaseJourney):
    """One call in progress."""

    def __init__(self, client: "ClientConnection", head: RequestHead, started: float) -> None:
        super().__init__(client, head, started)
        CONTROLS[self.flow.id] = JourneyControl(self)

    # ---- the request ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Call `requestheaders`, in which addons may refuse the request before its body is read."""
        self._hook("requestheaders", self._head_seen)

    def _head_seen(self) -> None:
        if self._is_dead():
            return
        head = self.head
        if self.flow.response is not None and head.has_body:
            self.delivery.closes = True
            self.client.discard_request()
            self.flow.request.data.timestamp_end = time.time()
            self._hook("request", self._request_seen)
            return
        limit = self.service.limits.max_body_size
        if limit is not None and head.length is not None and head.length > limit:
            raise RequestError(too_large(limit), 413)
        self._expect(head)

    def _expect(self, head: RequestHead) -> None:
        headers = self.flow.request.headers
        if "expect" not in headers:
            return
        expected = headers.pop("expect")
        if head.version == b"HTTP/1.0":
            return
        if expected.lower() != "100-continue":
            raise RequestError("the request's Expect is not supported", 417)
        if head.has_body and not self.client.has_more:
            self.client.write(framing.CONTINUE)

    def request_pieces(self, pieces: list[bytes]) -> None:
        """Collect bytes of the request's body."""
        self.active = time.time()
        self._body += pieces
        self._size += sum(map(len, pieces))
        limit = self.service.limits.max_body_size
        if limit is not None and self._size > limit:
            raise RequestError(too_large(limit), 413)

    def request_end(self, end: End) -> None:
        """Handle the end of the request."""
        if end.pieces:
            self.request_pieces(end.pieces)
        data = self.flow.request.data
        self.is_request_complete = True
        data.content = b"".join(self._body)
        self._body = []
        if end.trailers:
            data.trailers = make_headers(end.trailers)
        self.active = self.active_since = data.timestamp_end = time.time()
        if self.head.upgrade and not self._may_upgrade():
            self.head.upgrade = False
        self._hook("request", self._request_seen)

    def _may_upgrade(self) -> bool:
        """Tell whether the Upgrade field is forwarded: not for HTTP/2, which is not supported."""
        offered = self.flow.request.headers.get("upgrade", "").lower()
        return bool(offered) and not offered.startswith(("h2c", "h2", "http/"))

    def _request_seen(self) -> None:
        if self._is_dead():
            return
        if self.flow.response is not None:
            self._do_left()  # before what the next hook notes; nothing is sent to the API
            self.delivery.closes |= "close" in self.flow.response.headers.get("connection", "").lower()
            self.phase = Phase.ENDING
            self.flow.response.timestamp_start = time.time()
            self._hook("responseheaders", self._own_head_seen)
        else:
            self.phase = Phase.RESPONSE_HEAD
            self.upstream.send(self)

    def _own_head_seen(self) -> None:
        if not self._is_dead():
            self._end_whole()

    # ---- the answer -----------------------------------------------------------------------------------------------

    def receive(self, event: Event | CallError) -> None:
        """Handle an event or an error from the API; queue it while a hook is awaited."""
        if self._busy:
            self._waiting.append(event)
            self.upstream.pause()
        elif self.phase is not Phase.OVER:
            self.guard(self._received, event)

    def _received(self, event: Event | CallError) -> None:
        if isinstance(event, Pieces):
            self._pieces(event.pieces)
        elif isinstance(event, End):
            self._end(event)
        elif isinstance(event, ResponseHead):
            self._head(event)
        elif isinstance(event, Switch):
            self._switch(event)
        elif isinstance(event, Malformed):
            raise event.error
        elif isinstance(event, CallError):
            if self.phase is not Phase.RESPONSE_HEAD or not self.upstream.resend(self):
                raise event
        else:
            raise InternalError(f"the API has sent a {type(event).__name__}")

    def _head(self, head: ResponseHead) -> None:
        self.active = now = time.time()
        if head.status < 200 and head.status != 101:
            if self.head.version != b"HTTP/1.0" and head.status != 100:
                self.client.write(framing.interim_head(head.status, head.reason, head.fields))
            return
        if head.status == 101 and not self.head.upgrade:
            raise ResponseError("the API switched protocols without being asked to")
        self.flow.response = make_response(head, now)
        self.phase, self._size = Phase.BUFFERED, 0
        limit = self.service.options.stream_above
        if limit is not None and (head.length is None or head.length > limit) and head.status != 101:
            self.flow.response.stream = True
        self._hook("responseheaders", self._answer_head_seen)

    def _answer_head_seen(self) -> None:
        if self._is_dead():
            return
        response = self.flow.response
        if response is None:
            raise InternalError("an addon removed the answer")
        if response.stream and not self.may_retry and response.data.status_code != 101:
            self.phase = Phase.STREAM
            self.delivery.begin(response)

    def _pieces(self, pieces: list[bytes]) -> None:
        if self.phase is Phase.STREAM:
            if self.flow.error is not None and self._is_dead():
                return
            self.delivery.write(pieces)
            if self.ends_early:
                self.end_early()
        elif self.gate is not None:
            self.pass_to_gate(self.gate, pieces)
        elif self.phase is Phase.BUFFERED:
            self._body += pieces
            self._size += sum(map(len, pieces))
            if self.may_retry and self._size > MAX_REFUSAL_SIZE:
                raise ResponseError(f"the API refused the request with more than {MAX_REFUSAL_SIZE} bytes")

    def pass_to_gate(self, gate: Gate, event: list[bytes] | Literal["beat", "end"]) -> None:
        """Pass an event to the gate of a held answer, and start streaming once the gate opens."""
        self.delivery.in_stream = True
        try:
            output = gate.beat() if event == "beat" else gate.end() if event == "end" else gate.take(event)
        finally:
            self.delivery.in_stream = False
        if output is not None and self.flow.response is not None:
            self.gate, self.phase = None, Phase.STREAM
            self.delivery.begin(self.flow.response)
            self.delivery.pass_on(output)
            if gate.breaks:
                self.client.abort()
        if self.ends_early:
            self.end_early()

    def _end(self, event: End) -> None:
        if event.pieces:
            self._pieces(event.pieces)
            if self.is_failing or self.phase not in (Phase.STREAM, Phase.BUFFERED):
                return  # they have ended the answer, or an addon has
        self.left.append(self.upstream.release)
        response = self.flow.response
        if response is None:
            raise ResponseError("the API's answer has no head")
        if event.trailers:
            response.data.trailers = make_headers(event.trailers)
        if (gate := self.gate) is not None:
            self.pass_to_gate(gate, "end")
            self.gate, self._body = None, [gate.whole]
        if self.phase is Phase.STREAM:
            self._end_stream()
            return
        response.data.content = content = b"".join(self._body)
        self._body = [content]
        if self.may_retry:
            self.may_retry = False
            self._do_left()  # the connection may be used again at once
            self._hook("moonpalace_refused", self._refusal_seen)
        else:
            self._end_whole()

    def _refusal_seen(self) -> None:
        if self._is_dead():
            return
        if self.flow.response is None:
            self.phase, self._body = Phase.RESPONSE_HEAD, []
            self.upstream.send(self)
        else:
            self._end_whole()

    def _end_whole(self) -> None:
        self.phase = Phase.ENDING
        response = self.flow.response
        assert response is not None  # noqa: S101 - checked by all callers
        response.timestamp_end = time.time()
        self._hook("response", self._whole_seen)

    def _whole_seen(self) -> None:
        response = self.flow.response
        if not self._is_dead(quietly=True) and response is not None:
            self.delivery.write_complete(response)
            self._finish()

    def _end_stream(self) -> None:
        response = self.flow.response
        if response is None:
            raise InternalError("an addon removed the answer")
        self.delivery.flush(response)
        self.phase = Phase.ENDING
        response.timestamp_end = time.time()
        self._hook("response", self._stream_seen)

    def _stream_seen(self) -> None:
        response = self.flow.response
        if not self._is_dead(quietly=True) and response is not None:
            self.delivery.end(response)
            self._finish()

    def end_early(self) -> None:
        """End a stream before the API does, and close the API's connection."""
        self.ends_early = False
        if self.gate is not None and self.phase is Phase.BUFFERED:
            self.upstream.close()
            self._end(End([], []))
        elif self.phase is Phase.STREAM:
            self.upstream.close()
            self.delivery.truncate()
            self._end_stream()

    def _switch(self, event: Switch) -> None:
        api, response = self.upstream.api, self.flow.response
        if api is None or response is None or response.data.status_code != 101:
            raise ResponseError("the API switched protocols without being asked to")
        if api.is_gone:
            return  # the next event is its loss
        self.phase = Phase.ENDING
        response.data.content = b""
        response.timestamp_end = time.time()
        tunnel = self._tunnel(api, event.rest)
        self._hook("response", lambda: self._switched(tunnel))

    def _tunnel(self, api: "ApiConnection", rest: bytes) -> Tunnel:
        """Return the tunnel for an answer 101."""
        response, request = self.flow.response, self.flow.request
        upgrade = response.headers.get("upgrade", "") if response is not None else ""
        if upgrade.lower() != "websocket" or request.headers.get("sec-websocket-version") != "13":
            return Tunnel(self, api, rest)
        is_watched = self.service.hooks.only_watches("websocket_message")
        return (WatchedTunnel if is_watched else WebSocketTunnel)(self, api, rest)

    def _switched(self, tunnel: Tunnel) -> None:
        response = self.flow.response
        if self._is_dead(quietly=True) or tunnel.is_closed or response is None:
            tunnel.abandon()
            return
        self.upstream.api = None
        self.delivery.begun = True
        self.client.write(framing.switch_head(response))
        handle = CONTROLS[self.flow.id]
        self._over()
        self.tunnel, CONTROLS[self.flow.id] = tunnel, handle
        self.client.begin_tunnel(tunnel)

"""Change chat streams on their way to the client: merge forced ones, cut loops, hide usage; the answer's side of it."""

import asyncio
import contextlib
import logging
import time

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons import upstream
from moonpalace_addons.adapter import Adapter
from moonpalace_addons.calls import Call, Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.headers import media_type
from moonpalace_addons.settings import Settings
from moonpalace_addons.wire.encodings import Decoder
from moonpalace_addons.wire.loop_guard import LoopGuard
from moonpalace_addons.wire.repeat import Detector
from moonpalace_addons.wire.stream_editor import Plan, StreamEditor

logger = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"


class EditStream:
    """Install an adapter where a stream has to be changed; all other answers pass untouched."""

    name = "moonpalace-edit-stream"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self._beats: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Start the heartbeats."""
        if self.configuration.ready and self.configuration.settings.force_stream:
            self._beats = asyncio.create_task(self._beat(self.configuration.settings.heartbeat))

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Put the adapter between upstream and the client, with headers that are true of what it sends."""
        call = self.calls.get(flow)
        if call is None or flow.response is None or not is_good_stream(flow.response) or flow.request.method == "HEAD":
            return
        plan = make_plan(call, self.configuration.settings)
        if plan is None:
            return
        encoding = flow.response.headers.get("content-encoding")
        adapter = Adapter(flow, call, Decoder(encoding), StreamEditor(plan), coerce=plan.coerce)
        call.streaming, call.adapter = True, adapter
        flow.response.stream = adapter
        set_headers(flow, coerce=plan.coerce)

    def response(self, flow: HTTPFlow) -> None:
        """Close the upstream of a stream that a loop has ended, so that no more tokens are paid for."""
        if flow.metadata.get(upstream.ENDED_EARLY):
            upstream.close_upstream(flow)

    async def _beat(self, interval: float) -> None:
        while True:
            await asyncio.sleep(min(0.2, interval / 4))
            for call in self.calls:
                if call.adapter is not None and call.adapter.wants_heartbeat(time.monotonic(), interval):
                    upstream.inject_heartbeat(call.flow)

    async def done(self) -> None:
        """Stop the heartbeats."""
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats


def is_good_stream(response: Response) -> bool:
    """Tell whether an answer is a stream that went well so far; errors of the API pass as they are."""
    return response.status_code == 200 and media_type(response.headers.get("content-type")) == EVENT_STREAM


def make_plan(call: Call, settings: Settings) -> Plan | None:
    """Return what is to be done with a call's stream, None for nothing."""
    guarded = settings.detect_repeat and settings.repeat_threshold > 0 and call.is_chat
    if not (call.coerce or call.hide_usage or guarded):
        return None

    def make_guard() -> LoopGuard:
        return LoopGuard(lambda: Detector(settings.repeat_threshold, settings.repeat_min_length))

    return Plan(coerce=call.coerce, hide_usage=call.hide_usage, make_guard=make_guard if guarded else None)


def set_headers(flow: HTTPFlow, *, coerce: bool) -> None:
    """Make the headers true of an answer whose length and encoding are ours."""
    if flow.response is None:
        return
    headers = flow.response.headers
    for name in ("content-length", "content-encoding", "transfer-encoding"):
        headers.pop(name, None)
    if flow.request.http_version == "HTTP/1.0":
        headers["Connection"] = "close"  # it knows no chunks: the end of the connection is the end of the answer
    else:
        headers["Transfer-Encoding"] = "chunked"
    if coerce:
        headers["Content-Type"] = "application/json; charset=utf-8"

"""Change chat streams on their way to the client: merge forced ones, cut loops, hide usage; the answer's side of it."""

import asyncio
import contextlib
import logging
import time

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.calls.adapter import Adapter
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.opening import Forced, Hold
from moonpalace_addons.calls.stream_edit import StreamEdit, adapter_of
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.mitm.headers import media_type, set_headers
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.codings.encodings import Decoder
from moonpalace_addons.wire.forms import EVENT_STREAM
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from moonpalace_addons.wire.loops.repeat import Detector

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 2_000_000
"""Bytes to which one piece of a stream may be decoded, all of which is looked at before another call goes on."""
UNREADABLE = "the stream passed as it came, without a look for loops or usage"
NO_BODY = (204, 205, 304)
UNEDITED = StreamEdit()


class EditStream:
    """Install an adapter where a stream has to be changed; all other answers pass untouched."""

    name = "moonpalace-edit-stream"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self._beats: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Start to look at what clients wait for."""
        if self.configuration.ready and self.configuration.settings.force_stream:
            self._beats = asyncio.create_task(self._watch(self.configuration.settings.heartbeat))

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Put the adapter between upstream and the client, with headers that are true of what it sends."""
        call = self.calls.get(flow)
        if call is None or flow.response is None or not has_good_body(flow, flow.response):
            return
        plan = make_plan(call, self.configuration.settings)
        if plan is None:
            return
        label, decoder = media_type(flow.response.headers.get("content-type")), make_decoder(flow.response)
        if decoder is not None and decoder.error and not plan.coerce:
            call.warnings += [UNREADABLE] if label == EVENT_STREAM else []
            return

        def make_adapter() -> Adapter:
            return Adapter(flow, call, decoder, StreamEditor(plan, label), coerce=plan.coerce)

        if (hold := call.find(Hold)) is not None and not plan.coerce:
            hold.make_adapter = make_adapter
            return
        edit = call.state(StreamEdit)
        edit.adapter = adapter = make_adapter()
        if plan.coerce:
            forced = Forced(flow, call, adapter)
            if flow_control.hold_answer(flow, forced):
                call.streaming, flow.response.stream = False, False
                return
            adapter.is_held = False
            if label not in (EVENT_STREAM, None):  # mitmproxy's server has to go by what an answer is called
                edit.adapter = None
                return
        call.streaming, flow.response.stream = True, adapter
        set_headers(flow, coerce=plan.coerce)
        flow_control.announce_end(flow)

    def response(self, flow: HTTPFlow) -> None:
        """Close the upstream of a stream that was ended in its place, so that no more tokens are paid for."""
        if flow.metadata.get(flow_control.ENDED_EARLY):
            flow_control.close_upstream(flow)

    async def _watch(self, interval: float) -> None:
        while True:
            await asyncio.sleep(min(0.2, interval / 4))
            for call in self.calls:
                if (adapter := adapter_of(call)) is not None:
                    self._look(call, adapter, interval)

    @staticmethod
    def _look(call: Call, adapter: Adapter, interval: float) -> None:
        """Give a client that waits a heartbeat, or the end of an answer that is all there."""
        now = time.monotonic()
        try:
            if adapter.lingers(now) and flow_control.can_finish(call.flow):
                adapter.end_lingering()
            elif adapter.wants_heartbeat(now, interval):
                flow_control.inject_heartbeat(call.flow)
        except Exception:
            # One fault must not take the heartbeats of all other calls with it.
            logger.exception("a waiting client cannot be given a heartbeat because of a fault in MoonPalace")

    async def done(self) -> None:
        """Stop looking."""
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats


def has_good_body(flow: HTTPFlow, response: Response) -> bool:
    """Tell whether there is something in an answer that went well so far; errors of the API pass as they are.

    mitmproxy does not stream what it knows to have no bytes.
    """
    is_empty = flow.request.method == "HEAD" or response.headers.get("content-length", "").strip() == "0"
    return 200 <= response.status_code < 300 and response.status_code not in NO_BODY and not is_empty


def make_decoder(response: Response) -> Decoder | None:
    """Return what undoes the content encoding of an answer, None if it has none."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    return None if encoding in ("", "identity") else Decoder(encoding, max_per_feed=MAX_AT_ONCE)


def make_plan(call: Call, settings: Settings) -> Plan | None:
    """Return what is to be done with a call's stream, None for nothing."""
    guarded = settings.detect_repeat and settings.repeat_threshold > 0 and call.is_chat
    edit = call.find(StreamEdit) or UNEDITED
    if not (edit.coerce or edit.hide_usage or guarded):
        return None

    def make_guard() -> LoopGuard:
        return LoopGuard(lambda: Detector(settings.repeat_threshold, settings.repeat_min_length))

    return Plan(coerce=edit.coerce, hide_usage=edit.hide_usage, make_guard=make_guard if guarded else None)

"""Edit streams: merge forced ones, end loops, hide usage. `force_stream` edits the requests."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Mapping

from mitmproxy.http import HTTPFlow

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
"""Decoded bytes of one piece of a stream, which is processed in one turn of the event loop."""
UNREADABLE = "the stream was passed on unchanged, without checks for loops or usage"
NO_BODY = (204, 205, 304)
UNEDITED = StreamEdit()


class EditStream:
    """Install an adapter where a stream must be edited; all other answers pass unchanged."""

    name = "moonpalace-edit-stream"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self._beats: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Start sending heartbeats to clients of forced streams."""
        if self.configuration.ready and self.configuration.settings.force_stream:
            self._beats = asyncio.create_task(self._watch(self.configuration.settings.heartbeat))

    @property
    def unneeded(self) -> Collection[str]:
        """Return the hooks that do nothing if no setting has streams edited."""
        return () if self.configuration.edits_streams else ("responseheaders", "response")

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Install the adapter, and update the headers to match its output."""
        call = self.calls.get(flow)
        if call is None or flow.response is None or (plan := make_plan(call, self.configuration.settings)) is None:
            return
        headers = flow.response.headers
        if not has_good_body(flow, flow.response.status_code, headers):
            return
        label, decoder = media_type(headers.get("content-type")), make_decoder(headers)
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
            if label not in (EVENT_STREAM, None):  # mitmproxy's server has to rely on the content type
                edit.adapter = None
                return
        call.streaming, flow.response.stream = True, adapter
        set_headers(flow, coerce=plan.coerce)
        flow_control.announce_close(flow)

    def response(self, flow: HTTPFlow) -> None:
        """Close the upstream connection of a stream that was ended early, so that it generates no more tokens."""
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
        """Send a heartbeat to a waiting client, or end an answer that is complete."""
        now = time.monotonic()
        try:
            if adapter.lingers(now) and flow_control.can_finish(call.flow):
                adapter.end_lingering()
            elif adapter.wants_heartbeat(now, interval):
                flow_control.inject_heartbeat(call.flow)
        except Exception:
            # A fault in one call must not stop the heartbeats of the others.
            logger.exception("could not send a heartbeat to a waiting client because of a fault in MoonPalace")

    async def done(self) -> None:
        """Stop the heartbeats."""
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats


def has_good_body(flow: HTTPFlow, status: int, headers: Mapping[str, str]) -> bool:
    """Return whether an answer is successful and has a body; the API's errors pass unchanged.

    mitmproxy does not stream bodies that are known to be empty.
    """
    is_empty = flow.request.method == "HEAD" or headers.get("content-length", "").strip() == "0"
    return 200 <= status < 300 and status not in NO_BODY and not is_empty


def make_decoder(headers: Mapping[str, str]) -> Decoder | None:
    """Return the decoder of an answer's content encoding, or None."""
    encoding = headers.get("content-encoding", "").strip().lower()
    return None if encoding in ("", "identity") else Decoder(encoding, max_per_feed=MAX_AT_ONCE)


def make_plan(call: Call, settings: Settings) -> Plan | None:
    """Return the edits of a call's stream, or None."""
    face = call.face
    guarded = settings.detect_repeat and settings.repeat_threshold > 0 and face.is_streamed
    edit = call.find(StreamEdit) or UNEDITED
    if not (edit.coerce or edit.hide_usage or guarded):
        return None

    def make_guard() -> LoopGuard:
        return LoopGuard(face, lambda: Detector(settings.repeat_threshold, settings.repeat_min_length))

    return Plan(face, coerce=edit.coerce, hide_usage=edit.hide_usage, make_guard=make_guard if guarded else None)

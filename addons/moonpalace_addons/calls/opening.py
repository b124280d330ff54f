"""Hold the head of an answer back until its first bytes show how to pass it on.

A JSON document is held until it is complete, so that a truncated one becomes an error with a status instead of half a
document. Whitespace before it, which servers send to keep a connection alive, passes at once: then the status has been
sent, and truncation closes the connection. The same holds for a document larger than `MAX_HELD` or, without a
Content-Length, one that takes longer than `HOLD_TIME` from its first byte. Anything else, events above all, passes at
once, whatever its content type.

A forced stream is held until its first content or the first heartbeat: if it fails before, its client gets an error
with a matching status.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from mitmproxy.http import HTTPFlow
from mitmproxy.net.http import status_codes

from moonpalace_addons.calls.adapter import Adapter, Refusal
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.calls.tap import Tap
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.mitm.headers import set_headers
from moonpalace_addons.wire.codings.sniffer import Sniffer

logger = logging.getLogger(__name__)

HOLD_TIME = 1.0
"""Seconds for which a JSON document without a Content-Length is held back."""

MAX_HELD = 4 * 1024 * 1024
"""Bytes of a JSON document that are held back."""

RETRY_INTERVAL = 0.05


class Hold:
    """Hold a JSON document back until it is complete; pass everything else as it arrives.

    `make_adapter` is set if a stream must be edited; `announce` is called when the answer starts to pass.
    """

    def __init__(self, flow: HTTPFlow, call: Call, announce: Callable[[], None] = lambda: None) -> None:
        self.flow = flow
        self.call = call
        self.announce = announce
        self.make_adapter: Callable[[], Adapter] | None = None
        self._tap = Tap(call)
        head = call.response
        self._sniffer = Sniffer(head.content_type, head.content_encoding) if head is not None else Sniffer(None)
        self._held: list[bytes] = []
        self._size = 0
        self._has_length = flow.response is not None and "content-length" in flow.response.headers
        self._since: float | None = None
        self.breaks = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def whole(self) -> bytes:
        """Return the held data."""
        return b"".join(self._held)

    def take(self, pieces: Sequence[bytes], *, tapped: bool = False) -> Sequence[bytes] | None:
        """Add pieces; return the pieces for the client once the answer passes, None until then."""
        if not tapped:
            self._tap.together(pieces)
        self._held += pieces
        try:
            waits = self._waits(pieces)
        except Exception:
            logger.exception("an answer is passed on without inspection because of a fault in MoonPalace")
            waits = False
        return None if waits else self._open()

    def beat(self) -> Sequence[bytes] | None:
        """Check whether the hold has timed out."""
        return self._open() if self._is_late() else None

    def end(self) -> Sequence[bytes] | None:
        """Handle the end: the held data is complete."""
        self._stop_timer()
        return None

    def _waits(self, pieces: Sequence[bytes]) -> bool:
        """Tell whether the answer may be a JSON object, which a client cannot use before it is complete."""
        for piece in pieces:
            self._sniffer.feed(piece)
            self._size += len(piece)
        if self._size > MAX_HELD or self._is_late() or (self._sniffer.has_begun and not self._sniffer.is_object):
            return False
        if self._since is None and not self._has_length:
            self._since = time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(HOLD_TIME, self._look)
        return True

    def _is_late(self) -> bool:
        return self._since is not None and time.monotonic() - self._since >= HOLD_TIME

    def _look(self) -> None:
        """Trigger `beat` through the engine; retry if that is not possible now."""
        self._timer = None
        if flow_control.is_over(self.flow):
            return
        self._timer = asyncio.get_running_loop().call_later(RETRY_INTERVAL, self._look)
        try:
            flow_control.inject_heartbeat(self.flow)
        except Exception:
            logger.exception("an answer is held back too long because of a fault in MoonPalace")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _open(self) -> Sequence[bytes]:
        self._stop_timer()
        held, self._held = self._held, []
        begin(self.flow, self.call, self._tap, self.announce)
        try:
            return self._changed(held)
        except Exception:
            logger.exception("a stream is passed on unedited because of a fault in MoonPalace")
            return held

    def _changed(self, held: Sequence[bytes]) -> Sequence[bytes]:
        """Return the held data, edited by the adapter if there is one."""
        if self.make_adapter is None or self.flow.response is None:
            return held
        adapter = self.make_adapter()
        set_headers(self.flow, coerce=False)
        self.call.state(StreamEdit).adapter = self.flow.response.stream = adapter
        return adapter.catch_up(held)


class Forced:
    """Hold the head of a forced stream back until its first content; pass anything else to a `Hold`."""

    def __init__(self, flow: HTTPFlow, call: Call, adapter: Adapter) -> None:
        self.flow = flow
        self.call = call
        self.adapter = adapter
        self.whole = b""
        self._came: list[bytes] = []
        self._hold: Hold | None = None
        adapter.is_held = True

    def take(self, pieces: Sequence[bytes]) -> Sequence[bytes] | None:
        """Add pieces; return the pieces for the client once the answer passes, None until then."""
        if self._hold is not None:
            return self._hold.take(pieces)
        if self.adapter.refusal is not None:
            return None
        self._came += pieces
        output = self.adapter.together(pieces)
        if self.adapter.refusal is not None:
            self._refuse(self.adapter.refusal)
            flow_control.end_response(self.flow)
            return None
        if self.adapter.editor.passes:
            return self._leave()
        return self._open(output) if output or self.adapter.has_begun else None

    @property
    def breaks(self) -> bool:
        """Tell whether the connection must be closed after the head."""
        return self.adapter.breaks

    def beat(self) -> Sequence[bytes] | None:
        """Start the answer with a heartbeat."""
        if self._hold is not None:
            return self._hold.beat()
        if self.adapter.refusal is not None:
            return None
        return self._open(self.adapter(flow_control.HEARTBEAT))

    def end(self) -> Sequence[bytes] | None:
        """Handle the end; return the answer, or None if the client gets `whole` instead."""
        if self._hold is None and self.adapter.refusal is None:
            output = self.adapter.together(())
            if self.adapter.refusal is not None:
                self._refuse(self.adapter.refusal)
                return None
            if not self.adapter.editor.passes:
                return self._open(output)
            if (left := self._leave()) is not None:
                return left
        if self._hold is not None:
            self._hold.end()
            self.whole = self._hold.whole
        return None

    def _open(self, output: Sequence[bytes]) -> Sequence[bytes]:
        self._came.clear()
        self.adapter.is_held = False
        set_headers(self.flow, coerce=True)
        begin(self.flow, self.call, self.adapter)
        return output

    def _leave(self) -> Sequence[bytes] | None:
        """Pass an answer that is not an event stream unchanged, with its own head."""
        self.call.state(StreamEdit).adapter = None
        self._hold = Hold(self.flow, self.call)
        came, self._came = self._came, []
        return self._hold.take(came, tapped=True)

    def _refuse(self, refusal: Refusal) -> None:
        """Replace the answer by an error."""
        response = self.flow.response
        if response is None:
            return
        self._came.clear()
        self.whole = refusal.body
        response.status_code = refusal.status
        response.reason = status_codes.RESPONSES.get(refusal.status, "")
        for name in ("content-encoding", "transfer-encoding"):
            response.headers.pop(name, None)
        response.headers["Content-Type"] = "application/json"
        response.headers["Content-Length"] = str(len(refusal.body))


def begin(flow: HTTPFlow, call: Call, stream: Tap | Adapter, announce: Callable[[], None] = lambda: None) -> None:
    """Start passing an answer through `stream`."""
    call.streaming = True
    announce()
    if flow.response is not None:
        flow.response.stream = stream

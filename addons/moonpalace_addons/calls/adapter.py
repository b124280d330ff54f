"""Edit a stream between upstream and the client: tap, decode, edit. It never raises."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import REPEATING, UPSTREAM_CUT, Failure
from moonpalace_addons.calls.tap import Tap
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.stream_editor import StreamEditor, merged
from moonpalace_addons.wire.codings.encodings import Decoder
from moonpalace_addons.wire.faces.table import error_body
from moonpalace_addons.wire.foreign import quoted

logger = logging.getLogger(__name__)

LOOP_WARNING = "it appears that there is an issue with content repeating in the current response"
NOT_EDITED = "the stream was not edited to its end because of a fault in MoonPalace"
NOT_PASSED_ON = "the answer could not be passed on because of a fault in MoonPalace"
LINGERED = "upstream did not end its answer after [DONE], so MoonPalace did"
TOO_LARGE = "an event of the stream is too large to be merged into an answer"
UNREADABLE = "an event of the stream is unreadable, so the merged answer would be incomplete"
IN_STREAM = "the API ended the stream with an error"
BEGAN_WITH_ERROR = "the stream began with an error, which the client got with the status"
NOT_WHOLE = "the stream ended before the answer was complete"

SERVER_ERROR, BAD_GATEWAY = 500, 502
"""Status of an API error without one, and of errors that are not the API's."""

LINGER = 1.0
"""Seconds for upstream to end an answer that is complete."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error sent instead of an answer."""

    status: int
    body: bytes


class Adapter:
    """A response's stream: called with each piece of the body as it arrives, and with `b""` at a clean end.

    If editing fails, the rest passes unedited (but decoded, as the headers say), and a merged answer is built from all
    received data. If decoding fails too, or there is no complete answer to merge, the client's connection is closed: a
    truncated answer never looks complete. While the head of the answer `is_held` back, a `refusal` may replace it; if
    it `breaks`, the connection is closed after the head.

    `failure` is why it ended an answer: a loop, after `cut_at` bytes of the stream, or why the answer is incomplete.
    """

    def __init__(
        self, flow: HTTPFlow, call: Call, decoder: Decoder | None, editor: StreamEditor, *, coerce: bool
    ) -> None:
        self.flow = flow
        self.call = call
        self.tap = Tap(call)
        self.decoder = decoder
        self.editor = editor
        self.coerce = coerce
        self.failed = False
        self.ended = False
        self.has_lingered = False
        self.is_held = self.breaks = False
        self.refusal: Refusal | None = None
        self.failure: tuple[Failure, str] | None = None
        self.cut_at: int | None = None
        self.sent_at = time.monotonic()
        self.held = bytearray()

    @property
    def has_begun(self) -> bool:
        """Tell whether the head may be sent: content has arrived, or the answer is complete."""
        return self.editor.has_content or self.editor.is_complete

    def wants_heartbeat(self, now: float, interval: float) -> bool:
        """Tell whether nothing has been sent to the client for `interval` seconds."""
        return self._waits and now - self.sent_at >= interval

    def lingers(self, now: float) -> bool:
        """Tell whether an answer is complete, but upstream has not ended it for `LINGER` seconds."""
        touched = self.call.touched
        return self._waits and self.editor.is_done and touched is not None and now - touched / 1e9 >= LINGER

    def end_lingering(self) -> None:
        """End an answer before its upstream does."""
        self.has_lingered = True
        self.call.warnings.append(LINGERED)
        flow_control.end_response(self.flow)

    def finish(self) -> bool:
        """Send the merged answer if the stream was lost after its last event; tell whether that was possible."""
        if not (self.coerce and self.editor.is_complete) or self.ended or self.is_held:
            return False
        output = self._edit(b"", final=True)
        self.ended = True
        return output is not None and flow_control.finish_answer(self.flow, output)

    @property
    def _waits(self) -> bool:
        return self.coerce and not (self.ended or self.has_lingered or self.editor.passes)

    def __call__(self, data: bytes) -> Sequence[bytes]:
        """Return the pieces for the client; none is empty, as that would end a chunked body."""
        if data is flow_control.HEARTBEAT and not self.ended:
            self.sent_at = time.monotonic()
            return [b" "] if self.coerce else []
        return self.together((data,) if data else ())

    def together(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Do the same for pieces that arrived together; an empty sequence is the end."""
        if self.ended:
            return []
        data = b"".join(pieces)
        self.tap.together([data] if data else [])
        return self._taken(data)

    def catch_up(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Do the same for pieces that are already captured."""
        data = b"".join(pieces)
        return self._taken(data) if data else []

    def _taken(self, data: bytes) -> Sequence[bytes]:
        try:
            output = self._take(data)
        except Exception:
            logger.exception("an answer cannot be passed on because of a fault in MoonPalace")
            output = self.break_off(NOT_PASSED_ON)
        if self.ended:
            self.held.clear()  # mitmweb keeps flows, and so their adapters, in memory
        if output:
            self.sent_at = time.monotonic()
        return [output] if output else []

    def _take(self, data: bytes) -> bytes:
        decoded, is_lost = self._decode(data)
        if self.coerce and not self.editor.passes:
            self.held += decoded
        output = self._edit(decoded, final=not data)
        if self.coerce and self.editor.error is not None:
            return self._pass_error(self.editor.error)
        if self.coerce and (self.editor.has_gap or self.editor.is_odd):
            return self.break_off(TOO_LARGE if self.editor.has_gap else UNREADABLE)
        if self.editor.found is not None and not (self.coerce and self.failed):
            self._end_early(is_over=not data)
        elif is_lost or output is None:
            return self.break_off(NOT_WHOLE)
        self.ended = self.ended or not data
        return output or b""

    def _decode(self, data: bytes) -> tuple[bytes, bool]:
        """Return the decoded bytes, and whether some of the body could not be decoded."""
        if self.decoder is None:
            return data, False
        known = self.decoder.error
        decoded = self.decoder.feed(data) if data else self.decoder.close()
        if self.decoder.error == known:
            return decoded, False
        # Data that is returned unchanged was not encoded, whatever the headers said.
        return decoded, not (decoded.endswith(data) if data else decoded)

    def _edit(self, decoded: bytes, *, final: bool) -> bytes | None:
        """Return the bytes for the client, or None if the answer is incomplete at its end."""
        if self.failed:
            return self._unedited(decoded, final=final)
        try:
            self.editor.feed(decoded)
            if final:
                self.editor.close()
            output = self.editor.take()
        except Exception:
            self.failed = True
            self.call.warnings.append(NOT_EDITED)
            logger.exception("editing a stream failed because of a fault in MoonPalace; it is passed on unedited")
            return self._unedited(self.editor.rest(), final=final)
        return None if final and self.coerce and not self.editor.is_whole else output

    def _pass_error(self, error: ApiError) -> bytes:
        """Return the API's error at the end of a stream to the client, if the head is still held."""
        if not self.is_held or self.has_begun:
            return self.break_off(f"{IN_STREAM}: {quoted(str(error))}")
        status = error.status or SERVER_ERROR
        self.ended = True
        body = json.dumps(self.call.face.error_answer(error), ensure_ascii=False)
        self.refusal = Refusal(status, body.encode("utf-8", "replace"))
        self.call.warnings.append(f"{BEGAN_WITH_ERROR} {status}")
        return b""

    def _unedited(self, decoded: bytes, *, final: bool) -> bytes | None:
        if not self.coerce or self.editor.passes:
            return decoded
        return merged(self.call.face, bytes(self.held)) if final else b""

    def _end_early(self, *, is_over: bool) -> None:
        """End the answer here, and upstream's unless it is over."""
        self.ended = True
        self.failure, self.cut_at = (REPEATING, str(self.editor.found)), self.editor.passed
        self.call.warnings.append(LOOP_WARNING)
        if not is_over:
            flow_control.end_response(self.flow)

    def break_off(self, reason: str) -> bytes:
        """End an incomplete answer, and store the reason; return the bytes for the client.

        Before any content the client gets an error; later its connection is closed, after the head.
        """
        self.ended = True
        self.failure = self.failure or (UPSTREAM_CUT, reason)
        self.call.warnings.append(reason)
        if self.is_held and self.has_begun:
            self.breaks = True
        elif self.is_held:
            message = f"MoonPalace got no complete answer: {reason}"
            self.refusal = Refusal(BAD_GATEWAY, error_body(message, UPSTREAM_CUT.kind, self.flow.request.path))
        else:
            flow_control.close_client(self.flow)
        return b""

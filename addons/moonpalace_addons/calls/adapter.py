"""The chain between upstream and a client whose stream is changed: tap, decode, edit. It never raises."""

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
from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.stream_editor import StreamEditor, merged
from moonpalace_addons.wire.codings.encodings import Decoder

logger = logging.getLogger(__name__)

LOOP_WARNING = "it appears that there is an issue with content repeating in the current response"
NOT_EDITED = "the stream was not edited to its end because of a fault in MoonPalace"
NOT_PASSED_ON = "the answer could not be passed on because of a fault in MoonPalace"
LINGERED = "upstream did not end its answer after [DONE], so MoonPalace did"
TOO_LARGE = "an event of the stream is too large to be merged into an answer"
UNREADABLE = "an event of the stream cannot be read, so that an answer would lack it"
IN_STREAM = "the API ended the stream with an error"
BEGAN_WITH_ERROR = "the stream began with an error, which its client got with the status"
NOT_WHOLE = "the stream ended before the answer was complete"

SERVER_ERROR, BAD_GATEWAY = 500, 502
"""The status of an error of the API that names none, and of one that is not the API's."""

LINGER = 1.0
"""Seconds that upstream may take to end an answer of which nothing more can come."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client gets instead of an answer."""

    status: int
    body: bytes


class Adapter:
    """Called by mitmproxy with each piece of the body as it came, and with `b""` at a clean end.

    If editing fails, what follows passes unedited (decoded, since the headers say so), and a merged answer is made anew
    from all that came. If decoding fails too, or if there is no whole answer to merge, the client's connection is
    closed: a broken transfer, never one that looks whole. While the head of the answer `is_held` back, there may be a
    `refusal` instead; or it `breaks`: the connection is to be closed once the head is out.

    `failure` is why it ended an answer: a loop, after `cut_at` bytes of the stream, or what kept the answer from being
    whole.
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
        """Tell whether the client may be told that there will be an answer: some of it has come, or all."""
        return self.editor.has_content or self.editor.is_complete

    def wants_heartbeat(self, now: float, interval: float) -> bool:
        """Tell whether the client has heard nothing for so long that a gateway might give up."""
        return self._waits and now - self.sent_at >= interval

    def lingers(self, now: float) -> bool:
        """Tell whether a client waits for an answer that is all there, only because upstream does not end it."""
        touched = self.call.touched
        return self._waits and self.editor.is_done and touched is not None and now - touched / 1e9 >= LINGER

    def end_lingering(self) -> None:
        """End an answer in place of its upstream."""
        self.has_lingered = True
        self.call.warnings.append(LINGERED)
        flow_control.end_response(self.flow)

    def finish(self) -> bool:
        """Give a client its merged answer though the stream broke off, if that was behind its end; tell if it could."""
        if not (self.coerce and self.editor.is_complete) or self.ended or self.is_held:
            return False
        output = self._edit(b"", final=True)
        self.ended = True
        return output is not None and flow_control.finish_answer(self.flow, output)

    @property
    def _waits(self) -> bool:
        return self.coerce and not (self.ended or self.has_lingered or self.editor.passes)

    def __call__(self, data: bytes) -> Sequence[bytes]:
        """Return what the client gets; an empty list for nothing, since an empty piece would end its transfer."""
        if data is flow_control.HEARTBEAT and not self.ended:
            self.sent_at = time.monotonic()
            return [b" "] if self.coerce else []
        return self.together((data,) if data else ())

    def together(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Do the same for pieces that came at the same time; none are the end."""
        return [] if self.ended else self._taken(self.tap.together(pieces))

    def catch_up(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Do the same for pieces that the row has already."""
        return self._taken(pieces) if any(pieces) else []

    def _taken(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        try:
            output = self._take(b"".join(pieces))
        except Exception:
            logger.exception("an answer cannot be passed on because of a fault in MoonPalace")
            output = self.break_off(NOT_PASSED_ON)
        if self.ended:
            self.held.clear()  # mitmweb keeps flows, and with them their adapters
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
        """Return what the next bytes decode to, and whether any of the body is lost with them."""
        if self.decoder is None:
            return data, False
        known = self.decoder.error
        decoded = self.decoder.feed(data) if data else self.decoder.close()
        if self.decoder.error == known:
            return decoded, False
        # What comes back as it is was never encoded, whatever the headers said.
        return decoded, not (decoded.endswith(data) if data else decoded)

    def _edit(self, decoded: bytes, *, final: bool) -> bytes | None:
        """Return what the client gets, None if at the end there is no whole answer for it."""
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
            logger.exception("editing a stream failed because of a fault in MoonPalace; it passes as it is")
            return self._unedited(self.editor.rest(), final=final)
        return None if final and self.coerce and not self.editor.is_whole else output

    def _pass_error(self, error: ApiError) -> bytes:
        """Give the client the error that the API ended a stream with, as far as that is still possible."""
        if not self.is_held or self.has_begun:
            return self.break_off(f"{IN_STREAM}: {error}")
        status = error.status or SERVER_ERROR
        self.ended = True
        body = json.dumps({"error": error.member}, ensure_ascii=False)
        self.refusal = Refusal(status, body.encode("utf-8", "replace"))
        self.call.warnings.append(f"{BEGAN_WITH_ERROR} {status}")
        return b""

    def _unedited(self, decoded: bytes, *, final: bool) -> bytes | None:
        if not self.coerce or self.editor.passes:
            return decoded
        return merged(bytes(self.held)) if final else b""

    def _end_early(self, *, is_over: bool) -> None:
        """Stop the answer here, and upstream with it unless that is over already."""
        self.ended = True
        self.failure, self.cut_at = (REPEATING, str(self.editor.found)), self.editor.passed
        self.call.warnings.append(LOOP_WARNING)
        if not is_over:
            flow_control.end_response(self.flow)

    def break_off(self, reason: str) -> bytes:
        """End an answer in its midst, for a reason that goes into the row; return what the client gets.

        That is an error as long as there is no content; else its connection is closed, once it has got the head.
        """
        self.ended = True
        self.failure = self.failure or (UPSTREAM_CUT, reason)
        self.call.warnings.append(reason)
        if self.is_held and self.has_begun:
            self.breaks = True
        elif self.is_held:
            message = f"MoonPalace got no whole answer: {reason}"
            self.refusal = Refusal(BAD_GATEWAY, api_error.body(message, UPSTREAM_CUT.kind, self.flow.request.path))
        else:
            flow_control.close_client(self.flow)
        return b""

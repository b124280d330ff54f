"""The chain between upstream and a client whose stream is changed: tap, decode, edit. It never raises."""

import logging
import time
from collections.abc import Iterable
from typing import Literal

from mitmproxy.http import HTTPFlow

from moonpalace_addons import upstream
from moonpalace_addons.calls import Call
from moonpalace_addons.tap import Tap
from moonpalace_addons.wire.encodings import Decoder
from moonpalace_addons.wire.stream_editor import StreamEditor, merged

logger = logging.getLogger(__name__)

LOOP_WARNING = "it appears that there is an issue with content repeating in the current response"

type State = Literal["open", "ended", "broken"]


class Adapter:
    """Called by mitmproxy with each piece of the body as it came, and with `b""` at a clean end.

    If editing fails, what follows passes unedited (decoded, since the headers say so); if decoding fails too, or if a
    merged answer cannot be made, the client's connection is closed: a broken transfer, never one that looks whole.
    """

    def __init__(self, flow: HTTPFlow, call: Call, decoder: Decoder, editor: StreamEditor, *, coerce: bool) -> None:
        self.flow = flow
        self.call = call
        self.tap = Tap(call)
        self.decoder = decoder
        self.editor = editor
        self.coerce = coerce
        self.failed = False
        self.ended = False
        self.sent_at = time.monotonic()
        self.held = bytearray() if coerce else None

    def wants_heartbeat(self, now: float, interval: float) -> bool:
        """Tell whether the client has heard nothing for so long that a gateway might give up."""
        return self.coerce and not self.ended and now - self.sent_at >= interval

    def __call__(self, data: bytes) -> Iterable[bytes]:
        """Return what the client gets; an empty list for nothing, since an empty piece would end its transfer."""
        if self.ended:
            return []
        if data is upstream.HEARTBEAT:
            self.sent_at = time.monotonic()
            return [b" "]
        try:
            output = self._take(self.tap(data))
        except Exception:
            logger.exception("an answer cannot be passed on because of a fault in MoonPalace")
            self._break_off("the answer could not be passed on because of a fault in MoonPalace")
            return []
        if output:
            self.sent_at = time.monotonic()
        return [output] if output else []

    def _take(self, data: bytes) -> bytes:
        decoded = self.decoder.feed(data) if data else self.decoder.close()
        if self.held is not None:
            self.held += decoded
        output = self._edit(decoded, final=not data)
        if self.editor.found is not None and not self.failed:
            self._end_early()
        elif not data:
            self._finish()
        return output

    def _edit(self, decoded: bytes, *, final: bool) -> bytes:
        if self.failed:
            return self._unedited(decoded, final=final)
        try:
            self.editor.feed(decoded)
            if final:
                self.editor.close()
            return self.editor.take()
        except Exception:
            self.failed = True
            self.call.warnings.append("the stream was not edited to its end because of a fault in MoonPalace")
            logger.exception("editing a stream failed because of a fault in MoonPalace; it passes as it is")
            return self._unedited(self.editor.rest(), final=final)

    def _unedited(self, decoded: bytes, *, final: bool) -> bytes:
        if self.held is None:
            return decoded
        return merged(bytes(self.held)) if final else b""

    def _finish(self) -> None:
        self.ended = True
        if self.decoder.error:
            self.call.warnings.append(f"the answer's encoding is broken: {self.decoder.error}")
        if self.coerce and (self.decoder.error or not (self.failed or self.editor.is_whole)):
            self._break_off("the stream ended before the answer was complete")

    def _end_early(self) -> None:
        """Stop the answer here, and upstream with it."""
        self.ended = True
        self.call.found = self.editor.found
        self.call.warnings.append(LOOP_WARNING)
        upstream.end_response(self.flow)

    def _break_off(self, reason: str) -> None:
        self.ended = True
        self.call.broken = reason
        self.call.warnings.append(reason)
        upstream.close_client(self.flow)

"""Capture the bytes of an answer as they pass through."""

import logging
import time
from collections.abc import Sequence

from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.control import HEARTBEAT

logger = logging.getLogger(__name__)

INCOMPLETE = "capture failed in mid-stream: the stored answer is incomplete"


class Tap:
    """A response's stream that passes data unchanged, and stores it with its time of arrival."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answer = call.answer
        self.started = call.started
        self.failed = False
        # Upstream has sent the headers: from now on only its own silence counts.
        call.touched = time.monotonic_ns()

    def __call__(self, data: bytes) -> bytes | Sequence[bytes]:
        """Return `data` unchanged; an error here affects the row, never the client."""
        if data is HEARTBEAT:  # for an answer that was still held back
            return []
        self.together((data,) if data else ())
        return data

    def together(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Do the same for pieces that arrived together."""
        try:
            if pieces and not self.failed:
                self.call.touched = now = time.monotonic_ns()
                self.answer.keep(now - self.started, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except Exception:
            self.failed = True
            self.call.warnings.append(INCOMPLETE)
            logger.exception("capture failed in mid-stream; the answer is still passed on")
        return pieces

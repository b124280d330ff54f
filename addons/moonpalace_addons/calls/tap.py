"""The first link of the chain between upstream and client: keep the bytes of an answer, and let them pass."""

import logging
import time
from collections.abc import Sequence

from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.control import HEARTBEAT

logger = logging.getLogger(__name__)

INCOMPLETE = "capture failed in mid-stream: the stored answer is incomplete"


class Tap:
    """Let the bytes of a response pass, and keep them with the times of their arrival."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answer = call.answer
        self.started = call.started
        self.failed = False
        # The headers are the first that upstream sends: from now on its own silence counts, not what we do meanwhile.
        call.touched = time.monotonic_ns()

    def __call__(self, data: bytes) -> bytes | Sequence[bytes]:
        """Return `data` unchanged, at once; whatever goes wrong here costs the row, never the client."""
        if data is HEARTBEAT:  # meant for an answer that was still held back
            return []
        self.together((data,) if data else ())
        return data

    def together(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Do the same for pieces that came at the same time."""
        try:
            if pieces and not self.failed:
                self.call.touched = now = time.monotonic_ns()
                self.answer.keep(now - self.started, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except Exception:
            self.failed = True
            self.call.warnings.append(INCOMPLETE)
            logger.exception("capture failed in mid-stream; the answer passes on")
        return pieces

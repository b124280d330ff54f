"""A guard that ends a stream at the word LOOP."""

from typing import cast

from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from moonpalace_addons.wire.loops.repeat import Detector, Loop

WORD = "LOOP"


class FiresAtLoop:
    """A detector that reports a loop in a piece with the text LOOP."""

    def __init__(self) -> None:
        self.length = 0

    def feed(self, text: str) -> Loop | None:
        """Detect it."""
        before, at = self.length, text.find(WORD)
        self.length += len(text)
        return Loop("period", before + at + len(WORD), len(WORD), WORD) if at >= 0 else None


def guard_of(face: Face) -> LoopGuard:
    """Return a guard for the streams of an API's format."""
    return LoopGuard(face, lambda: cast(Detector, FiresAtLoop()))

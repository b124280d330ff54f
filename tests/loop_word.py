"""A guard that ends a stream at the word LOOP."""

from typing import cast

from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from moonpalace_addons.wire.loops.repeat import Detector, Loop

LOOP = Loop("period", 4, 4, "LOOP")


class FiresAtLoop:
    """A detector that finds a loop in the text LOOP."""

    def feed(self, text: str) -> Loop | None:
        """Find it."""
        return LOOP if "LOOP" in text else None


def guard_of(face: Face) -> LoopGuard:
    """Return a guard for the streams of a face."""
    return LoopGuard(face, lambda: cast(Detector, FiresAtLoop()))

"""Detect loops in the texts of a stream, with one detector per part of the answer and channel.

Texts are never mixed: two tools called in turn are no loop.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.loops.repeat import Detector, Loop, Test

TEST_DESCRIPTIONS: Mapping[Test, str] = {
    "period": "the same {period} characters again and again",
    "near": "hardly anything new",
    "counter": "the same but for a counter",
}
"""What each test of the detector finds, in words."""


@dataclass(frozen=True, slots=True)
class FoundLoop:
    """A loop: in which text, such as "choice 0, content", and the detector's result."""

    place: str
    loop: Loop

    def __str__(self) -> str:
        """Return one line for the row."""
        kind = TEST_DESCRIPTIONS[self.loop.test].format(period=self.loop.period)
        return f"{self.place}: a loop ({kind}), found after {self.loop.position} characters: {self.loop.sample!r}"


class LoopGuard:
    """Feed the texts of events to their detectors; memory per channel is bounded by the detector's."""

    def __init__(self, face: Face, make_detector: Callable[[], Detector]) -> None:
        self._make_detector = make_detector
        self._detectors: dict[tuple[int, str], Detector] = {}
        self._channels = face.make_channels()
        self._part = face.part

    def feed(self, chunk: object) -> FoundLoop | None:
        """Read the parsed JSON of one event; return the first loop that it completes."""
        if isinstance(chunk, TextDelta):
            texts: Iterable[tuple[int, str, str]] = ((chunk.choice, chunk.channel, chunk.text),)
        else:
            texts = self._channels.texts(chunk)
        for part, channel, text in texts:
            loop = self._detector(part, channel).feed(text)
            if loop is not None:
                return self._found(part, channel, loop)
        return None

    def feed_run(self, run: TextRun) -> tuple[int, FoundLoop | None]:
        """Read the texts of several events; return how many were read, and the loop that the last one completes."""
        feed = self._detector(run.choice, run.channel).feed
        for count, text in enumerate(run.texts, 1):
            loop = feed(text)
            if loop is not None:
                return count, self._found(run.choice, run.channel, loop)
        return len(run.texts), None

    def _found(self, part: int, channel: str, loop: Loop) -> FoundLoop:
        return FoundLoop(f"{self._part} {part}, {channel}", loop)

    def _detector(self, part: int, channel: str) -> Detector:
        key = (part, channel)
        detector = self._detectors.get(key)
        if detector is None:
            detector = self._detectors[key] = self._make_detector()
        return detector

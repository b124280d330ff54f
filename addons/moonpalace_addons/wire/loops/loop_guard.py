"""Detect loops in the texts of a stream, with one detector per part of the answer and channel.

Texts are never mixed: two tools called in turn are no loop.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

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
        self._texts: dict[tuple[int, str], _Text] = {}
        self._channels = face.make_channels()
        self._part = face.part

    def feed(self, chunk: object) -> FoundLoop | None:
        """Read the parsed JSON of one event; return the first loop that it completes."""
        if isinstance(chunk, TextDelta):
            texts: Iterable[tuple[int, str, str]] = ((chunk.choice, chunk.channel, chunk.text),)
        else:
            texts = self._channels.texts(chunk)
        for part, channel, text in texts:
            loop = self._text(part, channel).feed(text)
            if loop is not None:
                return self._found(part, channel, loop)
        return None

    def feed_run(self, run: TextRun) -> tuple[int, FoundLoop | None]:
        """Read the texts of several events; return how many were read, and the loop that the last one completes."""
        count, loop = self._text(run.choice, run.channel).feed_all(run.texts)
        return count, None if loop is None else self._found(run.choice, run.channel, loop)

    def _found(self, part: int, channel: str, loop: Loop) -> FoundLoop:
        return FoundLoop(f"{self._part} {part}, {channel}", loop)

    def _text(self, part: int, channel: str) -> "_Text":
        key = (part, channel)
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = _Text(self._make_detector())
        return found


class _Text:
    """A detector that reads only what is new, while each piece is longer than the one before and begins with it.

    Some servers send all text so far each time. Equal pieces are not that.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.is_whole = True
        self._before = ""

    def feed(self, text: str) -> Loop | None:
        """Read a piece; return the loop that it completes."""
        if self.is_whole and text:
            before, self._before = self._before, text
            self.is_whole = len(text) > len(before) and text.startswith(before)
            text = text[len(before) :] if self.is_whole else text
        return self.detector.feed(text)

    def feed_all(self, texts: Sequence[str]) -> tuple[int, Loop | None]:
        """Read several pieces, at once where possible; return how many, and the loop that the last one completes."""
        count = 0
        while self.is_whole and count < len(texts):
            count += 1
            if (loop := self.feed(texts[count - 1])) is not None:
                return count, loop
        rest, length = texts[count:], self.detector.length
        loop = self.detector.feed("".join(rest))
        if loop is None:
            return len(texts), None
        ends = accumulate(map(len, rest), initial=length)
        return count + sum(end < loop.position for end in ends), loop

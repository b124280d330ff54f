"""Detect loops in the texts of a chat stream, with one detector per choice and channel.

Channels are `content`, `reasoning_content`, `reasoning`, `function_call.arguments` and, for each tool call,
`tool_calls.N.function.arguments` or `tool_calls.N.custom.input`, where N is the call's index, else its ID, else its
number among the calls of the choice. Texts are never mixed: two tools called in turn are no loop.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from moonpalace_addons.wire.chat.completion import choices
from moonpalace_addons.wire.chat.pieces import index_of
from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.chat.tool_calls import Router
from moonpalace_addons.wire.json_value import mapping
from moonpalace_addons.wire.loops.repeat import Detector, Loop, Test

TEST_DESCRIPTIONS: Mapping[Test, str] = {
    "period": "the same {period} characters again and again",
    "near": "hardly anything new",
    "counter": "the same but for a counter",
}
"""What each test of the detector finds, in words."""

_TEXTS = ("content", "reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class FoundLoop:
    """A loop: its choice, its channel, and the detector's result."""

    choice: int
    channel: str
    loop: Loop

    def __str__(self) -> str:
        """Return one line for the row."""
        kind = TEST_DESCRIPTIONS[self.loop.test].format(period=self.loop.period)
        where = f"choice {self.choice}, {self.channel}"
        return f"{where}: a loop ({kind}), found after {self.loop.position} characters: {self.loop.sample!r}"


class LoopGuard:
    """Feed the texts of chunks to their detectors; memory per channel is bounded by the detector's."""

    def __init__(self, make_detector: Callable[[], Detector]) -> None:
        self._make_detector = make_detector
        self._detectors: dict[tuple[int, str], Detector] = {}
        self._routers: dict[int, Router] = {}

    def feed(self, chunk: object) -> FoundLoop | None:
        """Read the parsed JSON of one event; return the first loop that it completes."""
        texts = ((chunk.choice, chunk.channel, chunk.text),) if isinstance(chunk, TextDelta) else self._texts(chunk)
        for choice, channel, text in texts:
            loop = self._detector(choice, channel).feed(text)
            if loop is not None:
                return FoundLoop(choice, channel, loop)
        return None

    def feed_run(self, run: TextRun) -> tuple[int, FoundLoop | None]:
        """Read the texts of several events; return how many were read, and the loop that the last one completes."""
        feed = self._detector(run.choice, run.channel).feed
        for count, text in enumerate(run.texts, 1):
            loop = feed(text)
            if loop is not None:
                return count, FoundLoop(run.choice, run.channel, loop)
        return len(run.texts), None

    def _detector(self, choice: int, channel: str) -> Detector:
        key = (choice, channel)
        detector = self._detectors.get(key)
        if detector is None:
            detector = self._detectors[key] = self._make_detector()
        return detector

    def _texts(self, chunk: object) -> Iterator[tuple[int, str, str]]:
        """Yield (choice, channel, text) of a chunk, without empty texts."""
        for position, choice in enumerate(choices(mapping(chunk))):
            index = index_of(choice)
            number = position if index is None else index
            for channel, text in self._channels(number, mapping(choice.get("delta"))):
                if isinstance(text, str) and text:
                    yield number, channel, text

    def _channels(self, choice: int, delta: Mapping[str, object]) -> Iterator[tuple[str, object]]:
        for name in _TEXTS:
            yield name, delta.get(name)
        yield "function_call.arguments", mapping(delta.get("function_call")).get("arguments")
        pieces = delta.get("tool_calls")
        if not isinstance(pieces, list):
            return
        router = self._routers.setdefault(choice, Router())
        for _, piece, call in router.route(pieces):
            yield f"tool_calls.{call.label}.{piece.place}", piece.text

"""Watch every text of a chat stream for loops: each choice and each channel has a detector of its own.

Channels are `content`, `reasoning_content`, `function_call.arguments` and `tool_calls.N.function.arguments`, where N is
the call's index, else its id, else its position. Texts are never mixed: two tools called in turn are no loop.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from moonpalace_addons.wire.completion import choices, mapping
from moonpalace_addons.wire.pieces import index_of
from moonpalace_addons.wire.repeat import Detector, Loop

_TEXTS = ("content", "reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class Found:
    """Say where a loop was found: in which choice, in which channel, and what the detector knows of it."""

    choice: int
    channel: str
    loop: Loop

    def __str__(self) -> str:
        """Return one line for the row."""
        period = f", a period of {self.loop.period} characters" if self.loop.period else ""
        return (
            f"choice {self.choice}, {self.channel}: a loop ({self.loop.test}{period})"
            f" found after {self.loop.position} characters: {self.loop.sample!r}"
        )


class LoopGuard:
    """Feed the texts of the chunks to their detectors; memory is bounded per channel by the detector's."""

    def __init__(self, make_detector: Callable[[], Detector]) -> None:
        self._make_detector = make_detector
        self._detectors: dict[tuple[int, str], Detector] = {}

    def feed(self, chunk: object) -> Found | None:
        """Take in the parsed JSON of one event; return the first loop that it completes."""
        for choice, channel, text in texts(chunk):
            key = (choice, channel)
            detector = self._detectors.get(key)
            if detector is None:
                detector = self._detectors[key] = self._make_detector()
            loop = detector.feed(text)
            if loop is not None:
                return Found(choice, channel, loop)
        return None


def texts(chunk: object) -> Iterator[tuple[int, str, str]]:
    """Iterate over (choice, channel, text) of a chunk, without empty texts."""
    for position, choice in enumerate(choices(mapping(chunk))):
        index = index_of(choice)
        number = position if index is None else index
        for channel, text in _channels(mapping(choice.get("delta"))):
            if isinstance(text, str) and text:
                yield number, channel, text


def _channels(delta: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name in _TEXTS:
        yield name, delta.get(name)
    yield "function_call.arguments", mapping(delta.get("function_call")).get("arguments")
    calls = delta.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        known = mapping(call)
        index = index_of(known)
        name = index if index is not None else known.get("id") or position
        yield f"tool_calls.{name}.function.arguments", mapping(known.get("function")).get("arguments")

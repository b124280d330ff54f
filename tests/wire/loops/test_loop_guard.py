"""The guard's channels: which texts belong together, and the description of a loop."""

from typing import cast

import pytest

from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.loops.loop_guard import FoundLoop, LoopGuard
from moonpalace_addons.wire.loops.repeat import Detector, Loop
from tests.loop_word import FiresAtLoop
from tests.tables import for_each


class Keeps:
    """A detector that keeps its text and finds a loop in the text LOOP."""

    def __init__(self) -> None:
        self.text = ""

    def feed(self, text: str) -> Loop | None:
        """Keep a piece."""
        assert text
        self.text += text
        return Loop("near", len(self.text), None, self.text) if "LOOP" in self.text else None


class Notes(FiresAtLoop):
    """A detector that records each piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def feed(self, text: str) -> Loop | None:
        """Note a piece."""
        self.pieces.append(text)
        return super().feed(text)


def delta(*deltas: dict[str, object], **more: object) -> dict[str, object]:
    return {"choices": [{"delta": value, **more} for value in deltas]}


def call(arguments: str | None = None, **more: object) -> dict[str, object]:
    name = more.pop("name", None)
    function = ({"name": name} if name else {}) | ({"arguments": arguments} if arguments is not None else {})
    return {**more, "function": function}


def kept(chunks: list[object]) -> dict[tuple[int, str], str]:
    """Return the text of each channel's detector."""
    guard = LoopGuard(CHAT_COMPLETIONS, lambda: cast(Detector, Keeps()))
    for chunk in chunks:
        assert guard.feed(chunk) is None
    return {key: cast(Keeps, text.detector).text for key, text in guard._texts.items()}


@for_each(
    ("chunks", "expected"),
    [
        ([], {}),
        ([None, [], "x", 1, {}, {"choices": None}, {"choices": [None, 1, {}, {"delta": None}, {"delta": []}]}], {}),
        ([delta({"content": ""}), delta({"content": None}), delta({"content": 7, "reasoning_content": ["x"]})], {}),
        (
            [delta({"content": "a", "reasoning_content": "b", "reasoning": "c"}), delta({"content": "d"})],
            {(0, "content"): "ad", (0, "reasoning_content"): "b", (0, "reasoning"): "c"},
        ),
        ([delta({"content": "a"}, {"content": "b"})], {(0, "content"): "a", (1, "content"): "b"}),
        ([delta({"content": "a"}, index=3)], {(3, "content"): "a"}),
        ([delta({"function_call": {"arguments": "{}"}})], {(0, "function_call.arguments"): "{}"}),
        ([{"choices": [{"message": {"content": "not a delta"}}]}], {}),
        ([delta({"content": text}) for text in ("I", "", "I see", "I see a moon")], {(0, "content"): "I see a moon"}),
        ([delta({"content": text}) for text in ("1", "10", "1")], {(0, "content"): "101"}),
        ([delta({"content": text}) for text in ("ha", "ha", "haha")], {(0, "content"): "hahahaha"}),
        (
            [delta({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}) for text in "ab"],
            {(0, "content.thinking.text"): "ab"},
        ),
        ([delta({"content": [{"type": "text", "text": "a"}, None, {"type": []}]})], {(0, "content.text"): "a"}),
        (
            [delta({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": text}]}) for text in "ab"],
            {(0, "reasoning_details.reasoning.text.0"): "ab"},
        ),
        (
            [delta({"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a"}]})],
            {(0, "reasoning"): "a"},
        ),
        ([TextDelta(0, "content", "I"), TextDelta(0, "content", "I see")], {(0, "content"): "I see"}),
    ],
)
def test_texts_by_channel(chunks: list[object], expected: dict[tuple[int, str], str]) -> None:
    """Each channel of each choice has its own text; only texts count."""
    assert kept(chunks) == expected


ARGUMENTS = "tool_calls.{}.function.arguments"
CALLS: dict[str, tuple[list[list[object]], dict[object, str]]] = {
    "by index": (
        [[call("a", index=0, id="x")], [call("b", index=0)], [call("c", index=1, id="y")], [call("d", index=0)]],
        {0: "abd", 1: "c"},
    ),
    "by id": ([[call("a", id="x")], [call("b", id="y")], [call("c", id="x")]], {"x": "ac", "y": "b"}),
    "by id, then by position": (
        [[call("", id="x")], [call("a")], [call("b")], [call("", id="y")], [call("c")], [call("d")]],
        {"x": "ab", "y": "cd"},
    ),
    "two at once by position": (
        [[call("", id="x"), call("", id="y")], [call("a"), call("b")], [call("c"), call("d")]],
        {"x": "ac", "y": "bd"},
    ),
    "neither, with another function": (
        [[call("a", name="f")], [call("b")], [call("c", name="g")], [call("d")], [call("e", name="g")]],
        {0: "ab", 1: "cde"},
    ),
    "neither, at once": ([[call("a"), call("b")], [call("c"), call("d")]], {0: "ac", 1: "bd"}),
    "no calls": ([[None, 1, {}, {"function": None}, call(None, index=0)]], {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_of_calls_are_never_mixed(name: str) -> None:
    """The arguments of each call are a separate text, however calls are identified."""
    lists, expected = CALLS[name]
    found = kept([delta({"tool_calls": calls}) for calls in lists])
    assert found == {(0, ARGUMENTS.format(label)): text for label, text in expected.items()}


def test_choices_have_calls_of_their_own() -> None:
    """Calls of two choices are separate even if their indexes are the same."""
    found = kept([delta({"tool_calls": [call("a", index=0)]}, {"tool_calls": [call("b", index=0)]})])
    assert found == {(0, ARGUMENTS.format(0)): "a", (1, ARGUMENTS.format(0)): "b"}


def test_similar_calls_in_turn_are_no_loop() -> None:
    """Forty calls with the same arguments and different ids are not a loop."""
    guard = LoopGuard(CHAT_COMPLETIONS, lambda: Detector(0.5, 100))
    for number in range(40):
        begun = delta({"tool_calls": [call("", id=f"call_{number}", name="read")]})
        assert guard.feed(begun) is None
        assert guard.feed(delta({"tool_calls": [call('{"path": "/src/main.py", "line": 1}')]})) is None


@pytest.mark.parametrize(
    ("chunk", "choice", "channel"),
    [
        (delta({"content": "x"}, {"content": "LOOP"}), 1, "content"),
        (delta({"reasoning_content": "LOOP"}), 0, "reasoning_content"),
        (delta({"tool_calls": [call("x", index=0), call("LOOP", index=1)]}), 0, ARGUMENTS.format(1)),
        (delta({"content": "LOOP", "reasoning_content": "LOOP"}, index=2), 2, "content"),
    ],
)
def test_loop_in_any_channel(chunk: object, choice: int, channel: str) -> None:
    """The first loop of a chunk is reported with its choice and channel."""
    guard = LoopGuard(CHAT_COMPLETIONS, lambda: cast(Detector, Keeps()))
    assert guard.feed(delta({"content": "before"})) is None
    found = guard.feed(chunk)
    assert found is not None
    assert found.place == f"choice {choice}, {channel}"


def test_the_texts_of_a_run_are_read_at_once() -> None:
    """Texts that arrived together are one piece for the detector; the loop belongs to the text that completes it."""
    notes = Notes()
    guard = LoopGuard(CHAT_COMPLETIONS, lambda: cast(Detector, notes))
    assert guard.feed_run(TextRun(0, "content", ["a", "b", "c", "", "d"], 0)) == (5, None)
    count, found = guard.feed_run(TextRun(0, "content", ["e", "LO", "OP", "", "f"], 0))
    assert notes.pieces == ["a", "b", "cd", "eLOOPf"]
    assert (count, found) == (3, FoundLoop("choice 0, content", Loop("period", 9, 4, "LOOP")))


@pytest.mark.parametrize(
    ("loop", "expected"),
    [
        (
            Loop("period", 400, 3, "ab\n"),
            "choice 1, content: a loop (the same 3 characters again and again), found after 400 characters: 'ab\\n'",
        ),
        (
            Loop("near", 512, None, "月"),
            "choice 1, content: a loop (hardly anything new), found after 512 characters: '月'",
        ),
        (
            Loop("counter", 512, None, "1. 月"),
            "choice 1, content: a loop (the same but for a counter), found after 512 characters: '1. 月'",
        ),
    ],
)
def test_what_is_said_of_a_loop(loop: Loop, expected: str) -> None:
    """One line has the place of the loop, its kind, and a sample."""
    assert str(FoundLoop("choice 1, content", loop)) == expected

"""Events that only differ in their text are recognized without parsing, and no others are."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat.text_matcher import MAX_MISSES, MAX_OTHERS, TextDelta, TextEventMatcher, only_text


def event(delta: object, **more: object) -> dict[str, object]:
    return {
        "id": "cmpl-1",
        "model": "kimi-k2.6",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    } | more


def learnt(chunk: object, **spelling: object) -> TextEventMatcher:
    alike = TextEventMatcher(only_text)
    alike.learn(json.dumps(chunk, **spelling), chunk)  # type: ignore[arg-type]
    return alike


@pytest.mark.parametrize("channel", ["content", "reasoning_content", "reasoning"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\t", ":\t")])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_another_text(channel: str, separators: tuple[str, str], text: str) -> None:
    """Events that only differ in their text match, however it is escaped."""
    alike = learnt(event({"role": "assistant", channel: "a"}), separators=separators)
    data = json.dumps(event({"role": "assistant", channel: text}), separators=separators)
    assert alike.read(data) == TextDelta(0, channel, text)


def test_half_a_surrogate_pair() -> None:
    """Half a surrogate pair, which a server may split, is left to the slow path."""
    chunk = event({"content": "a"})
    assert learnt(chunk).read(json.dumps(event({"content": "\ud83d"}))) is None


@pytest.mark.parametrize(
    "other",
    [
        event({"content": "b"}, id="cmpl-2"),
        event({"content": "b"}, usage={"total_tokens": 1}),
        event({"content": "b", "tool_calls": [{"index": 0}]}),
        event({"content": None}),
        event({"content": ["b"]}),
        event({"reasoning_content": "b"}),
        event({"content": "b"}) | {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]},
        event({"content": "b"}) | {"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}]},
        [],
        "a",
    ],
)
def test_anything_else(other: object) -> None:
    """Events that differ in more than their text do not match."""
    assert learnt(event({"content": "a"})).read(json.dumps(other)) is None


@pytest.mark.parametrize("data", ["", "[DONE]", '"a"', '""', "null"])
def test_nothing_learnt(data: str) -> None:
    """Before anything is learnt, nothing matches."""
    assert TextEventMatcher(only_text).read(data) is None
    assert learnt({"error": {"message": "a"}}).read(data) is None


@pytest.mark.parametrize("inner", ['b", "x": "', "b\\", '","role":"user', '"', 'b"}'])
def test_a_text_that_would_break_out(inner: str) -> None:
    """The bytes between head and tail must be exactly one JSON string."""
    chunk = event({"content": "a"})
    data = json.dumps(chunk)
    assert learnt(chunk).read(data.replace('"a"', f'"{inner}"')) is None


@pytest.mark.parametrize(
    "chunk",
    [
        event({"content": "a", "reasoning_content": "b"}),
        event({"content": "a", "annotations": [1]}),
        event({"content": "a"}, tokens=[1]),
        event({"content": "a"}, choices=[]),
        event({"content": "a"}) | {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": []}}]},
        event({"content": "a", "extra": {"content": "b"}}),
    ],
)
def test_not_learnt(chunk: dict[str, object]) -> None:
    """An event with more than a text is not learnt: similar ones would have to repeat the rest."""
    assert learnt(chunk).read(json.dumps(chunk)) is None


def test_twice_the_same_key() -> None:
    """Of two equal keys the last counts: an event with the text in either is not learnt."""
    data = json.dumps(event({"content": "a"})).replace('"content"', '"c\\u006fntent": "b", "content"')
    alike = TextEventMatcher(only_text)
    alike.learn(data.replace('"b", "content": "a"', '"a", "content": "a"'), json.loads(data))
    swapped = json.dumps(event({"content": "a"})).replace('"a"', '"a", "c\\u006fntent": "a"')
    alike.learn(swapped, json.loads(swapped))
    assert alike.read(swapped) is None


def test_an_escape_that_spells_no_name() -> None:
    """Some servers escape slashes in each of their events."""
    chunk = event({"content": "a"}, model="moonshotai/kimi-k2")
    alike = TextEventMatcher(only_text)
    alike.learn(json.dumps(chunk).replace("/", "\\/"), chunk)
    other = json.dumps(event({"content": "b"}, model="moonshotai/kimi-k2")).replace("/", "\\/")
    assert alike.read(other) == TextDelta(0, "content", "b")


@pytest.mark.parametrize("more", [{"model": "\u6708"}, {'a "content': None}])
def test_where_a_name_may_stand_for_something_else(more: dict[str, object]) -> None:
    """An event is not learnt if the name of its text occurs twice, or could be escaped in another way."""
    chunk = event({"content": "a"}, **more)
    assert learnt(chunk).read(json.dumps(chunk)) is None


def test_a_value_like_the_name() -> None:
    """A value equal to the name of the text is not the name."""
    chunk = event({"content": "a"}, model="content", id='a "content')
    assert learnt(chunk).read(json.dumps(chunk)) == TextDelta(0, "content", "a")


def test_an_event_is_looked_at_once() -> None:
    """An event is learnt from a single pass over its parsed data."""
    looks: list[object] = []
    alike = TextEventMatcher(lambda value: looks.append(value) or only_text(value))  # type: ignore[func-returns-value]
    chunk = event({"content": "a"})
    alike.learn(json.dumps(chunk), chunk)
    assert looks == [chunk]


def test_a_stream_that_is_always_different() -> None:
    """A stream whose events all differ costs only a few failed attempts to learn."""
    alike = TextEventMatcher(only_text)
    for number in range(MAX_MISSES + 1):
        chunk = event({"content": "a"}, id=f"cmpl-{number}")
        assert alike.read(json.dumps(chunk)) is None
        alike.learn(json.dumps(chunk), chunk)
    assert alike.read(json.dumps(chunk)) is None


def test_a_stream_without_texts() -> None:
    """Events that never only add text are not tried forever; until then, other events between them do no harm."""
    asked: list[object] = []
    alike = TextEventMatcher(lambda value: asked.append(value) or only_text(value))  # type: ignore[func-returns-value]
    chunk = event({"content": "a"})
    for _ in range(MAX_OTHERS - 1):
        alike.learn("{}", {})
    alike.learn(json.dumps(chunk), chunk)
    assert alike.read(json.dumps(chunk)) is not None
    for _ in range(MAX_OTHERS + 9):
        alike.learn("{}", {})
    assert sum(value == {} for value in asked) == 2 * MAX_OTHERS - 1

"""Tests of reading turns from bodies."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.faces import turns as faces
from tests.tables import for_each

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
ARGUMENTS = '{\n    "a": 1\n}'


class Part(NamedTuple):
    """A part as shown."""

    kind: str
    text: str
    label: str = ""


class Turn(NamedTuple):
    """A turn as shown."""

    role: str
    parts: tuple[Part, ...]
    note: str = ""


def shown(turns: Sequence[faces.Turn]) -> list[Turn]:
    """Return turns as shown."""
    return [
        Turn(turn.role, tuple(Part(part.kind, part.text, part.label) for part in turn.parts), turn.note)
        for turn in turns
    ]


def of_request(request: object) -> list[Turn]:
    """Return the turns of a request."""
    return shown(faces.request_turns(request))


def of_answer(answer: object) -> list[Turn]:
    """Return the turns of an answer."""
    return shown(faces.answer_turns(answer))


def text(role: str, content: str, note: str = "") -> Turn:
    """Return a turn with only a text."""
    return Turn(role, (Part("text", content),), note)


@for_each(
    ("message", "turns"),
    [
        ({"role": "user", "content": "hi"}, [text("user", "hi")]),
        ({"role": "user", "name": "Bo", "content": "hi"}, [text("user", "hi", "Bo")]),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "u"}}],
            },
            [Turn("user", (Part("text", "see"), Part("media", "[image u]")))],
        ),
        (
            {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
            [Turn("assistant", (Part("reasoning", "hm"), Part("call", ARGUMENTS, "look (call_1)")))],
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{oops"}}]},
            [Turn("assistant", (Part("call", "{oops", "f"),))],
        ),
        (
            {"role": "assistant", "function_call": {"name": "f", "arguments": "[]"}},
            [Turn("assistant", (Part("call", "[]", "f"),))],
        ),
        (
            {"role": "assistant", "content": None, "refusal": "no"},
            [Turn("assistant", (Part("text", "no", "refusal"),))],
        ),
        ({"role": "tool", "tool_call_id": "call_1", "content": "42"}, [text("tool", "42", "call_1")]),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]},
            [Turn("assistant", (Part("reasoning", "hm"), Part("text", "so")))],
        ),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}]},
            [Turn("assistant", (Part("call", ARGUMENTS, "look (t)"),))],
        ),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}, "partial_json": '{"a'}]},
            [Turn("assistant", (Part("call", '{"a', "f"),))],
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "seen"}]},
            [text("tool", "seen", "t")],
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}, {"type": "text", "text": "so?"}]},
            [Turn("tool", (), "t"), text("user", "so?")],
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"a": 1}'},
            [Turn("function_call", (Part("call", ARGUMENTS, "look (c)"),))],
        ),
        ({"type": "function_call_output", "call_id": "c", "output": "seen"}, [text("tool", "seen", "c")]),
        ({"type": "custom_tool_call_output", "call_id": "c", "output": "seen"}, [text("tool", "seen", "c")]),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "shell", "input": "ls"},
            [Turn("custom_tool_call", (Part("call", "ls", "shell (c)"),))],
        ),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            [Turn("assistant", (Part("text", "No.", "refusal"),))],
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            [Turn("reasoning", (Part("reasoning", "hm"),))],
        ),
        (
            {"role": "user", "content": [{"type": "odd", "x": 1}]},
            [Turn("user", (Part("json", '{\n    "type": "odd",\n    "x": 1\n}'),))],
        ),
        ("just text", [Turn("?", (Part("json", '"just text"'),))]),
    ],
)
def test_messages(message: object, turns: list[Turn]) -> None:
    """The messages of any face become turns; unknown parts are shown as JSON."""
    assert of_request({"messages": [message]}) == turns
    assert of_request({"input": [message]}) == turns


def test_what_stands_before_the_messages() -> None:
    """The names of tools come first, and the instructions of /messages and /responses are a system turn."""
    tools = [{"function": {"name": "look"}}, {"name": "see"}, {"type": "web_search"}, {}]
    assert of_request({"tools": tools, "system": "be brief", "messages": []}) == [
        text("tools", "look, see, web_search, ?", "4"),
        text("system", "be brief"),
    ]
    assert of_request({"instructions": "be brief", "input": "hi"}) == [text("system", "be brief"), text("user", "hi")]
    assert of_request({"prompt": "once"}) == [text("prompt", "once")]
    assert of_request({"prompt": ["once", "twice"]}) == [text("prompt", "once"), text("prompt", "twice")]
    assert of_answer({"choices": [{"index": 0, "text": "upon"}]}) == [text("assistant", "upon")]
    assert of_request(None) == of_request([]) == []


@pytest.mark.parametrize(
    ("answer", "turns"),
    [
        ({"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]}, [text("assistant", "a")]),
        (
            {"choices": [{"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}]},
            [text("assistant", "a"), text("assistant", "b", "choice 1")],
        ),
        ({"role": "assistant", "content": [{"type": "text", "text": "a"}]}, [text("assistant", "a")]),
        (
            {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]},
            [text("assistant", "a")],
        ),
        ({"error": {"type": "t", "message": "m"}}, [text("error", "t: m")]),
        ({"odd": 1}, [Turn("answer", (Part("json", '{\n    "odd": 1\n}'),))]),
        (None, []),
    ],
)
def test_answers(answer: object, turns: list[Turn]) -> None:
    """Each choice is a turn, as is an error and anything else."""
    assert of_answer(answer) == turns


def test_data_is_never_repeated() -> None:
    """A `data:` URL in the arguments of a call is named, not printed."""
    arguments = json.dumps({"image": "data:image/png;base64," + "A" * 4000})
    (turn,) = of_request({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": arguments}}]}]})
    assert turn.parts == (Part("call", '{\n    "image": "[image/png, 3.0 kB]"\n}', "?"),)


def test_what_only_looks_like_data_stays() -> None:
    """Keys, and strings that only begin like a `data:` URL, are printed."""
    arguments = json.dumps({"data:x": 'data: "none"', "b": ["data:text/plain,abc"]})
    (turn,) = of_request({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": arguments}}]}]})
    assert json.loads(turn.parts[0].text) == {"data:x": 'data: "none"', "b": ["[text/plain, 3 bytes]"]}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
@pytest.mark.parametrize("levels", [1_100, 5_000])
def test_deep_nesting(opening: str, closing: str, levels: int) -> None:
    """A value nested beyond Python's recursion limit is shown."""
    deep = f"{opening * levels}1{closing * levels}"
    value = json.loads(deep)
    call = {"function": {"name": "f", "arguments": deep}}
    turns = of_request({"messages": [{"role": "user", "content": value}, {"role": "assistant", "tool_calls": [call]}]})
    turns += of_answer({"odd": value})
    assert [part.text.count(opening[0]) for turn in turns for part in turn.parts][-2:] == [
        levels,
        levels + (opening != "["),
    ]


KEYS = st.one_of(
    st.sampled_from(["messages", "role", "content", "type", "tool_calls", "function", "arguments", "text", "url"]),
    st.sampled_from(["image_url", "input", "choices", "message", "output", "error", "tools", "system", "source"]),
    st.sampled_from(["data", "summary", "usage", "call_id", "name", "refusal", "reasoning_content", "prompt"]),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["tool_result", "image", "{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(ANYTHING)
def test_nothing_is_too_odd(body: object) -> None:
    """Any body is shown in some way."""
    for turn in (*of_request(body), *of_answer(body)):
        assert isinstance(turn.role, str)
        assert all(isinstance(part.text, str) for part in turn.parts)

"""Tests of the content of stream events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.views.timeline import EventContent, event_content
from moonpalace_addons.wire.faces.table import FACES, UNKNOWN, face_of
from moonpalace_addons.wire.sse import Event
from tests.tables import for_each


def delta(**fields: object) -> dict[str, object]:
    """Return a chunk with this delta."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def call(**function: object) -> dict[str, object]:
    """Return a chunk with a piece of a tool call."""
    return delta(tool_calls=[{"index": 0, "function": function}])


@for_each(
    ("event", "kind", "text"),
    [
        (delta(role="assistant", content=""), "role", "assistant"),
        (delta(role="assistant", content="Hi"), "content", "Hi"),
        (delta(content="你好\n"), "content", "你好\n"),
        (delta(reasoning_content="hm"), "reasoning", "hm"),
        (delta(reasoning_content="hm", content="so"), "reasoning+content", "hm so"),
        (delta(refusal="no"), "refusal", "no"),
        (call(name="look", arguments=""), "tool call", "look("),
        (call(arguments='{"a"'), "tool call", '{"a"'),
        (delta(tool_calls=[{"index": 0, "custom": {"name": "shell", "input": "ls"}}]), "tool call", "shell(ls"),
        (delta(content=[{"type": "text", "text": "Hi"}]), "content", "Hi"),
        (
            delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
            "reasoning",
            "hm",
        ),
        ({"choices": [{"index": 0, "text": "upon", "finish_reason": None}]}, "content", "upon"),
        (
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 1}}]},
            "finish+usage",
            "stop 1 + 0 tokens",
        ),
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}, "usage", "3 + 4 tokens"),
        ({"choices": [{"index": 1, "delta": {"content": "b"}}]}, "content", "[1] b"),
        ({"error": {"type": "server_error", "message": "broken"}}, "error", "server_error: broken"),
        ({"choices": []}, "empty", ""),
        ({"type": "message_start", "message": {"usage": {"input_tokens": 5}}}, "message_start+usage", "5 + 0 tokens"),
        (
            {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "look"}},
            "content_block_start",
            "tool_use look",
        ),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}, "content", "Hi"),
        ({"type": "content_block_delta", "delta": {"thinking": "hm"}}, "reasoning", "hm"),
        ({"type": "content_block_delta", "delta": {"partial_json": '{"a'}}, "tool call", '{"a'),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, "finish", "end_turn"),
        ({"type": "message_stop"}, "done", ""),
        ({"type": "ping"}, "ping", ""),
        ({"type": "response.output_text.delta", "delta": "Hi"}, "content", "Hi"),
        ({"type": "response.function_call_arguments.delta", "delta": "{"}, "tool call", "{"),
        ({"type": "response.custom_tool_call_input.delta", "delta": "ls"}, "tool call", "ls"),
        (
            {"type": "response.completed", "response": {"usage": {"input_tokens": 1, "output_tokens": 2}}},
            "done+usage",
            "1 + 2 tokens",
        ),
    ],
)
def test_events(event: object, kind: str, text: str) -> None:
    """The kind of each event is its content's, in all three of the API's formats."""
    assert event_content(Event(json.dumps(event)), face_of("", [event])) == EventContent(kind, text)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("[DONE]", EventContent("done", "")),
        ("oops", EventContent("not JSON", "oops")),
        ("", EventContent("not JSON", "")),
        ("3", EventContent("empty", "")),
        ("[" * 100_000, EventContent("not JSON", "[" * 100_000)),
    ],
)
def test_other_data(data: str, expected: EventContent) -> None:
    """The end of a stream is recognised; data that is not JSON is shown unchanged."""
    assert all(event_content(Event(data), face) == expected for face in (UNKNOWN, *FACES))


WORDS = st.sampled_from(["choices", "delta", "content", "tool_calls", "type", "usage", "error", "message", "index"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING)
def test_no_event_is_too_odd(event: object) -> None:
    """Any event, however odd, is described."""
    assert all(event_content(Event(json.dumps(event)), face).kind for face in (UNKNOWN, *FACES))

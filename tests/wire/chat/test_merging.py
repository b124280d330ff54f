"""Merging: the deltas of a stream become the answer that the API gives without streaming."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.merging import Merger, parse_data
from moonpalace_addons.wire.sse import Event
from tests.linear import takes_linear_time
from tests.tables import for_each
from tests.wire.merging import merge_events

type Json = dict[str, Any]

HEAD: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "kimi-k2"}


def merge(*chunks: object) -> Json:
    merger = Merger()
    for chunk in chunks:
        merger.feed(chunk, api_error.find(chunk))
    return merger.result()


def delta(finish_reason: str | None = None, **fields: object) -> Json:
    return {**HEAD, "choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def call(arguments: str | None = None, **fields: object) -> Json:
    """Return a piece of a tool call; `name` goes into the function."""
    function = {
        key: value for key, value in (("name", fields.pop("name", None)), ("arguments", arguments)) if value is not None
    }
    return {**fields, "function": function}


def message_of(*chunks: object) -> Json:
    (choice,) = merge(*chunks)["choices"]
    message: Json = choice["message"]
    return message


def test_a_plain_stream() -> None:
    """A stream as sent by Kimi becomes the chat.completion, without a trace of the deltas."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    chunks = [
        delta(role="assistant", content=""),
        delta(reasoning_content="Let "),
        delta(reasoning_content="me see."),
        delta(content="你"),
        delta(content="好"),
        {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]},
        {**HEAD, "choices": [], "usage": usage},
    ]
    before = copy.deepcopy(chunks)
    assert merge(*chunks) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "kimi-k2",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "你好", "reasoning_content": "Let me see."},
                "finish_reason": "stop",
            }
        ],
        "usage": usage,
    }
    assert chunks == before


def test_the_result_can_be_read_at_any_time() -> None:
    """Reading the result changes nothing: it can be read between chunks and twice."""
    merger = Merger()
    merger.feed(delta(content="a"))
    assert merger.result()["choices"] == merger.result()["choices"]
    merger.feed(delta(content="b", finish_reason="stop"))
    assert merger.result() == merge(delta(content="ab", finish_reason="stop"))


MESSAGES: dict[str, tuple[list[Json], Json]] = {
    "null is no text": ([delta(content=None), delta(content=None)], {"content": None}),
    "null does not overwrite": ([delta(content="a"), delta(content=None)], {"content": "a"}),
    "null before text": ([delta(content=None), delta(content="a")], {"content": "a"}),
    "empty text is kept": ([delta(content="")], {"content": ""}),
    "only nulls": (
        [delta(role=None, content=None, refusal=None, tool_calls=None, function_call=None)],
        {"content": None, "refusal": None, "tool_calls": None, "function_call": None},
    ),
    "refusal": ([delta(refusal="I "), delta(refusal="won't")], {"content": None, "refusal": "I won't"}),
    "the first role stays": (
        [delta(role="assistant", content="a"), delta(role="tool", content="b")],
        {"content": "ab"},
    ),
    "the role comes late": ([delta(content="a"), delta(role="critic")], {"role": "critic", "content": "a"}),
    "unknown fields": (
        [delta(x="1", y={"b": 2}, z=None, n=1), delta(x="2", y={"a": 1}, n=2), delta(x=None)],
        {"content": None, "x": "12", "y": {"b": 2, "a": 1}, "z": None, "n": 2},
    ),
    "lists in pieces": (
        [
            delta(images=[{"url": "a"}], reasoning_details=[{"index": 0, "text": "b"}]),
            delta(images=[{"url": "c"}], reasoning_details=[{"index": 0, "text": "d"}]),
        ],
        {
            "content": None,
            "images": [{"url": "a"}, {"url": "c"}],
            "reasoning_details": [{"index": 0, "text": "bd"}],
        },
    ),
    "audio": (
        [delta(audio={"id": "a", "data": "AA"}), delta(audio={"data": "BB", "transcript": "x"})],
        {"content": None, "audio": {"id": "a", "data": "AABB", "transcript": "x"}},
    ),
    "a message that says no more than the role": (
        [delta(content="a"), {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}}]}],
        {"content": "a"},
    ),
    "parts instead of text": ([delta(content=[{"type": "text"}])], {"content": [{"type": "text"}]}),
    "text wins over parts": ([delta(content="a"), delta(content=[1]), delta(content="b")], {"content": "ab"}),
    "a function call": (
        [delta(function_call={"name": "f", "arguments": "{"}), delta(function_call={"arguments": "}"})],
        {"content": None, "function_call": {"name": "f", "arguments": "{}"}},
    ),
    "a message states everything": (
        [delta(content="a", x=1), {"choices": [{"index": 0, "message": {"role": "assistant", "content": "abc"}}]}],
        {"content": "abc"},
    ),
    "an empty message states nothing": (
        [delta(content="a"), {"choices": [{"index": 0, "delta": {"content": "b"}, "message": {}}]}],
        {"content": "ab"},
    ),
    "a cut surrogate pair": ([delta(content="\ud83c"), delta(content="\udf19!\ud800")], {"content": "🌙!\ud800"}),
}


@for_each("name", MESSAGES)
def test_messages(name: str) -> None:
    """Text is concatenated, identifiers are kept, null overwrites nothing."""
    chunks, expected = MESSAGES[name]
    assert message_of(*chunks) == {"role": "assistant", **expected}


def test_choices() -> None:
    """Choices are told apart by index, else by position, and sorted."""
    merged = merge(
        {"choices": [{"index": 1, "delta": {"content": "b"}}]},
        {"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}, "finish_reason": "stop"}]},
        {"choices": [None, 3, {"index": 2, "finish_reason": "length", "x": 1}]},
    )
    assert merged["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": None},
        {"index": 1, "message": {"role": "assistant", "content": "bb"}, "finish_reason": "stop"},
        {"index": 2, "message": {"role": "assistant", "content": None}, "finish_reason": "length", "x": 1},
    ]


def test_logprobs() -> None:
    """The tokens of logprobs are joined in order; null is kept if there is nothing else."""

    def chunk(logprobs: object) -> Json:
        return {"choices": [{"index": 0, "delta": {}, "logprobs": logprobs}]}

    pieces = [None, {"content": [1], "refusal": None}, {"content": [2, 3]}, {"content": None, "refusal": [4], "x": 5}]
    assert merge(*map(chunk, pieces))["choices"][0]["logprobs"] == {"content": [1, 2, 3], "refusal": [4], "x": 5}
    assert merge(chunk(None))["choices"][0]["logprobs"] is None
    assert merge(chunk({"content": None}))["choices"][0]["logprobs"] == {"content": None}
    assert "logprobs" not in merge(delta())["choices"][0]
    legacy = [{"tokens": ["a"], "text_offset": [0]}, {"tokens": ["a"], "text_offset": [1]}]
    assert merge(*map(chunk, legacy))["choices"][0]["logprobs"] == {"tokens": ["a", "a"], "text_offset": [0, 1]}


def used(number: int) -> Json:
    return {"total_tokens": number}


USAGES: dict[str, tuple[list[Json], Json | None]] = {
    "at top level": ([{"choices": [], "usage": used(1)}], used(1)),
    "in a choice": ([{"choices": [{"index": 0, "usage": used(1)}]}], used(1)),
    "top level wins, though it came first": (
        [{"choices": [], "usage": used(1)}, {"choices": [{"index": 0, "usage": used(2)}]}],
        used(1),
    ),
    "the last counts": ([{"choices": [], "usage": used(1)}, {"choices": [], "usage": used(2)}], used(2)),
    "null counts for nothing": ([{"choices": [], "usage": used(1)}, {"choices": [], "usage": None}], used(1)),
    "an empty one counts for nothing": (
        [{"choices": [{"usage": used(1)}], "usage": {}}, {"choices": [{"usage": {}}], "usage": {}}],
        used(1),
    ),
    "an empty one does not replace another": ([{"choices": [], "usage": used(1)}, {"usage": {}}], used(1)),
    "an empty one alone": ([delta(content="a"), {"choices": [], "usage": {}}], {}),
    "without choices": ([delta(content="a"), {"usage": used(1)}], used(1)),
    "none": ([delta(content="a"), {"choices": [], "usage": None}], None),
    "nonsense": ([{"choices": [{"usage": 3}], "usage": "x"}], None),
}


@pytest.mark.parametrize("name", USAGES)
def test_usage(name: str) -> None:
    """Usage is at top level, never summed, and never in a choice."""
    chunks, expected = USAGES[name]
    merged = merge(*chunks)
    assert merged.get("usage") == expected
    assert ("usage" in merged) == (expected is not None)
    assert not any("usage" in choice for choice in merged["choices"])


def test_top_level_fields() -> None:
    """The first non-empty id, time and model are kept; of other fields, the last value."""
    merged = merge(
        {"id": "", "object": "", "model": "", "choices": [], "system_fingerprint": None, "tier": "a", "x": None},
        {"id": "1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [], "tier": "b"},
        {"id": "2", "created": 6, "model": "n", "choices": [], "system_fingerprint": "f", "tier": None},
    )
    assert merged == {
        "id": "1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "system_fingerprint": "f",
        "tier": "b",
        "x": None,
        "choices": [],
    }


def test_errors_in_the_stream() -> None:
    """The first error is at top level with the rest of the answer; an error alone is the API's error."""
    error, other = {"type": "server_error", "message": "no"}, {"type": "x"}
    merged = merge(delta(content="a"), {"error": error}, {"error": other}, {"type": "error", "error": other})
    assert (merged["error"], merged["choices"][0]["message"]["content"]) == (error, "a")
    assert merge({**delta(content="a"), "error": error})["error"] == error
    assert merge(delta(), {"type": "error", "error": other})["error"] == other
    assert merge({"error": error}) == {"error": error}
    assert "error" not in merge({**delta(), "error": None})


@for_each(
    "chunk",
    [
        None,
        True,
        7,
        1.5,
        "text",
        [],
        [delta(content="x")],
        {},
        {"x": 1},
        {"error": None},
        {"choices": None},
        {"choices": 3},
        {"choices": {"0": {}}},
        {"choices": [None, 1, [], "x"]},
        {"choices": []},
        {"object": "chat.completion.chunk"},
        {"object": "text_completion", "choices": [{"index": 0, "text": "x"}]},
        {"object": 5},
        {"type": "message_start", "message": {"content": "x"}, "usage": {}},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "delta": "x", "message": 3, "logprobs": 1}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": "x", "function_call": 3, "content": 4}}]},
        {"choices": [{"index": 0, "delta": {"role": {}, "content": ["x"], "refusal": False}}]},
    ],
)
def test_nonsense_is_tolerated(chunk: object) -> None:
    """No chunk raises an exception; the text before and after it is kept."""
    merged = merge(delta(content="a"), chunk, delta(content="b", finish_reason="stop"))
    assert merged["choices"][0]["message"]["content"] == "ab"
    assert merged["choices"][0]["message"]["role"] == "assistant"
    assert merged["choices"][0]["finish_reason"] == "stop"
    assert merged["object"] == "chat.completion"
    json.dumps(merge(chunk))


def test_merging_events() -> None:
    """Events are parsed and merged; [DONE] and invalid JSON are skipped."""
    lines = [
        json.dumps(delta(content="a")),
        "[DONE]",
        json.dumps(delta(content="b")),
        " [DONE] ",
        "",
        '{"choices": [{"del',
    ]
    merged = merge_events(Event(line) for line in lines)
    assert merged == merge(delta(content="ab"))


@pytest.mark.parametrize(
    "data",
    ["", "[DONE]", "x", "{", "[" * 200_000, '{"a":' * 200_000, "1" * 5000, "null"],
    ids=["empty", "done", "word", "cut", "deep list", "deep object", "long number", "null"],
)
def test_data_without_a_value(data: str) -> None:
    """Data without a JSON value gives None, however deep or long it is."""
    assert parse_data(data) is None
    assert merge_events([Event(data)]) is None


def test_events_of_other_faces() -> None:
    """Events other than chat chunks merge to nothing; an error alone is kept."""
    assert merge_events([]) is None
    anthropic = [{"type": "message_start", "message": {"id": "1"}}, {"type": "message_delta", "usage": {"x": 1}}]
    responses = [{"type": "response.created", "response": {"object": "response"}}, {"type": "error", "error": {"a": 1}}]
    assert merge_events(Event(json.dumps(value)) for value in anthropic + responses) is None
    assert merge_events([Event('{"error": {"message": "no"}}')]) == {"error": {"message": "no"}}


def test_time_is_linear() -> None:
    """Many chunks take no more than linear time."""

    def prepare(count: int) -> Callable[[], object]:
        chunks = [delta(content="word ", tool_calls=[call("x", index=number % 3)]) for number in range(count)]
        return lambda: merge(*chunks)

    assert takes_linear_time(prepare, 2_000)

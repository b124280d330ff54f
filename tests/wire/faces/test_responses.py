"""Responses: merged, ended early and judged; `tests/data/dialects` has whole streams of them."""

import json
from typing import Any

import pytest

from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.responses import RESPONSES
from moonpalace_addons.wire.faces.responses_merging import (
    OTHER_COUNT,
    OTHER_PIECES,
    SAME_INDEX,
    SAME_PART,
    ResponseMerger,
)
from moonpalace_addons.wire.faces.summary import summarize
from tests.cuts import every_cut
from tests.dialects import STREAMS
from tests.linear import takes_linear_time
from tests.loop_word import guard_of
from tests.tables import for_each
from tests.wire.faces.response_events import BASE, Json, added, created, delta, event, merged, part, values, written


def edited(plan: Plan, pieces: list[bytes]) -> tuple[StreamEditor, bytes]:
    editor = StreamEditor(plan)
    for piece in pieces:
        editor.feed(piece)
    editor.close()
    return editor, editor.take()


PIECES: dict[str, tuple[list[Json], list[Json], list[str]]] = {
    "no index, but an id": (
        [
            event("output_item.added", item={"id": "a", "type": "function_call", "arguments": ""}),
            event("output_item.added", item={"id": "b", "type": "function_call", "arguments": "{"}),
            event("function_call_arguments.delta", item_id="b", delta="}"),
            event("function_call_arguments.delta", item_id="a", delta="[]"),
        ],
        [
            {"id": "a", "type": "function_call", "arguments": "[]"},
            {"id": "b", "type": "function_call", "arguments": "{}"},
        ],
        [],
    ),
    "a text that was not announced": (
        [delta("output_text", "H", content_index=0), delta("output_text", "i", content_index=0)],
        [{"content": [{"type": "output_text", "text": "Hi"}]}],
        [],
    ),
    "an end without pieces": (
        [added(0, "code_interpreter_call"), event("code_interpreter_call_code.done", output_index=0, code="1 + 1")],
        [{"id": "i0", "type": "code_interpreter_call", "code": "1 + 1"}],
        [],
    ),
    "an end that says otherwise": (
        [
            added(0, "mcp_call"),
            delta("mcp_call_arguments", "{"),
            event("mcp_call_arguments.done", output_index=0, arguments="{}"),
        ],
        [{"id": "i0", "type": "mcp_call", "arguments": "{}"}],
        [OTHER_PIECES],
    ),
    "an item whose end says otherwise": (
        [
            delta("output_text", "Ho", content_index=0),
            event("output_item.done", output_index=0, item={"content": [{"type": "output_text", "text": "Hi"}]}),
        ],
        [{"content": [{"type": "output_text", "text": "Hi"}]}],
        [OTHER_PIECES],
    ),
    "parts by their index": (
        [delta("output_text", "b", content_index=1), delta("reasoning_text", "a", content_index=0)],
        [{"content": [{"type": "reasoning_text", "text": "a"}, {"type": "output_text", "text": "b"}]}],
        [],
    ),
    "two items with one index, mixed": (
        [
            *(event("output_item.added", output_index=0, item={"id": name, "type": "mcp_call"}) for name in "ab"),
            *(event("mcp_call_arguments.delta", output_index=0, item_id=name, delta=name * 2) for name in "abba"),
        ],
        [{"id": "a", "type": "mcp_call", "arguments": "aaaa"}, {"id": "b", "type": "mcp_call", "arguments": "bbbb"}],
        [SAME_INDEX],
    ),
    "two items with one index and no ids": (
        [
            each
            for text in ("{}", "[]")
            for each in (
                event("output_item.added", output_index=0, item={"type": "mcp_call"}),
                event("mcp_call_arguments.delta", output_index=0, delta=text),
                event("output_item.done", output_index=0, item={"type": "mcp_call", "arguments": text}),
            )
        ],
        [{"type": "mcp_call", "arguments": "{}"}, {"type": "mcp_call", "arguments": "[]"}],
        [SAME_INDEX],
    ),
    "an item that is added twice": (
        [
            added(0, "mcp_call"),
            delta("mcp_call_arguments", "{"),
            added(0, "mcp_call"),
            delta("mcp_call_arguments", "}"),
        ],
        [{"id": "i0", "type": "mcp_call", "arguments": "{}"}],
        [],
    ),
    "a fresh ID with each event": (
        [
            added(0, "mcp_call"),
            event("mcp_call_arguments.delta", output_index=0, item_id="x", delta="{"),
            event("mcp_call_arguments.delta", output_index=0, item_id="y", delta="}"),
            event("output_item.done", output_index=0, item={"id": "z", "type": "mcp_call", "arguments": "{}"}),
        ],
        [{"id": "z", "type": "mcp_call", "arguments": "{}"}],
        [],
    ),
    "two parts with one index": (
        [
            each
            for text in ("a", "b")
            for each in (
                part("content_part", type="output_text", text=""),
                delta("output_text", text, content_index=0),
                event("content_part.done", output_index=0, content_index=0, part={"type": "output_text", "text": text}),
            )
        ],
        [{"content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]}],
        [SAME_PART],
    ),
    "unknown events and members": (
        [added(0, "web_search_call", x=1), event("web_search_call.searching", output_index=0), {"type": "keepalive"}],
        [{"id": "i0", "type": "web_search_call", "x": 1}],
        [],
    ),
}


@for_each("name", PIECES)
def test_items_in_pieces(name: str) -> None:
    """Items, parts and texts are matched by index or ID; events that end them take precedence."""
    events, output, doubts = PIECES[name]
    assert merged(created(), *events) == ({**BASE, "output": output}, doubts)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        {"type": 3},
        {"type": "response."},
        {"type": "response.output_text.delta", "delta": 3},
        {"type": "response.completed", "response": 3},
        {"type": "response.output_item.done", "item": []},
        {"type": "response.content_part.added", "part": 1, "content_index": "x", "output_index": True},
    ],
)
def test_nonsense_is_tolerated(value: object) -> None:
    """Whatever an event is, the text before and after it is merged."""
    merger = ResponseMerger()
    for each in (
        created(),
        delta("output_text", "a", content_index=0),
        value,
        delta("output_text", "b", content_index=0),
    ):
        merger.feed(each)
    assert json.dumps(merger.result()).count('"ab"') == 1


def test_other_items_at_the_end() -> None:
    """The last event takes precedence over the merged parts, with a warning."""
    last = {**BASE, "status": "completed", "output": [{"id": "x"}, {"id": "y"}]}
    assert merged(created(), added(0, "message"), event("completed", response=last)) == (last, [OTHER_COUNT])


def test_time_is_linear() -> None:
    """Many deltas take linear time."""

    def prepare(count: int) -> Any:
        events = [delta("output_text", "word ", number % 3, content_index=0) for number in range(count)]
        return lambda: merged(created(), *events)

    assert takes_linear_time(prepare, 2_000)


def guarded(*, coerce: bool = False) -> Plan:
    guard = guard_of(RESPONSES)
    return Plan(RESPONSES, coerce=coerce, make_guard=lambda: guard)


LOOPS: dict[str, tuple[list[Json], list[str]]] = {
    "output_text": (
        [
            added(0, "message", status="in_progress", role="assistant", content=[]),
            part("content_part", type="output_text", text=""),
        ]
        + [delta("output_text", text, content_index=0) for text in ("a", "LOOP")],
        ["output_text.done", "content_part.done", "output_item.done"],
    ),
    "reasoning_summary_text": (
        [added(0, "reasoning", summary=[]), part("reasoning_summary_part", type="summary_text", text="")]
        + [delta("reasoning_summary_text", text, summary_index=0) for text in ("a", "LOOP")],
        ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"],
    ),
    "function_call_arguments": (
        [added(0, "function_call", status="in_progress", name="f", call_id="c", arguments="")]
        + [delta("function_call_arguments", text) for text in ("a", "LOOP")],
        [],
    ),
    "custom_tool_call_input": (
        [added(0, "custom_tool_call", status="in_progress", name="f", call_id="c", input="")]
        + [delta("custom_tool_call_input", text) for text in ("a", "LOOP")],
        [],
    ),
}


@pytest.mark.parametrize("channel", LOOPS)
def test_a_loop_is_ended_in_the_grammar_of_responses(channel: str) -> None:
    """Open parts are closed, except for a tool call; the last event has the whole output, and why it ended."""
    begun, closing = [created(), *LOOPS[channel][0]], LOOPS[channel][1]
    stream = written([*begun, delta(channel, "more"), event("completed", response={**BASE, "status": "completed"})], 0)
    for pieces in every_cut(stream):
        editor, output = edited(guarded(), pieces)
        assert editor.found is not None
        assert editor.found.place == f"output item 0, {channel}"
        assert output.startswith(written(begun, 0))
    result = values(output)
    assert [each["type"] for each in result[len(begun) :]] == [f"response.{kind}" for kind in (*closing, "completed")]
    assert [each["sequence_number"] for each in result] == list(range(len(result)))
    response = result[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "repeat"})
    assert "aLOOP" in json.dumps(response["output"])
    assert merged(*result) == (response, [])
    assert summarize(response).finish_reason == "repeat"
    _, forced = edited(guarded(coerce=True), [stream])
    assert json.loads(forced) == response


def test_texts_of_other_items_are_no_loop() -> None:
    """Each text of each item has its own detector, which gets all of it."""
    channels = RESPONSES.make_channels()
    found: dict[tuple[int, str], str] = {}
    for place, channel, text in (each for value in values(STREAMS["responses"].data) for each in channels.texts(value)):
        found[place, channel] = found.get((place, channel), "") + text
    assert found == {
        (0, "reasoning_summary_text"): "**Greet** back",
        (1, "output_text"): "Hello 月!",
        (2, "function_call_arguments"): '{"city":"Rome"}',
        (3, "custom_tool_call_input"): "ls -l",
    }


def test_token_channels() -> None:
    """Summaries and reasoning are not visible; the name of a tool is."""
    cases = [
        (delta("output_text", "x"), "visible"),
        (delta("output_text", ""), None),
        (delta("reasoning_text", "x"), "reasoning"),
        (delta("reasoning_summary_text", "x"), "reasoning"),
        (delta("function_call_arguments", "x"), "visible"),
        (added(0, "function_call", name="f"), "visible"),
        (added(0, "message"), None),
        (created(), None),
        (None, None),
    ]
    assert [RESPONSES.token_channel(value) for value, _ in cases] == [channel for _, channel in cases]


def test_requests_for_a_stream() -> None:
    """Only `stream` changes; a response made in the background has none."""
    result = RESPONSES.ask_for_stream(b'{"model":"m", "input":"Hi"}')
    assert result is not None
    assert (result.body, result.change) == (b'{"model":"m", "input":"Hi","stream":true}', "stream set to true")
    assert RESPONSES.ask_for_stream(b'{"stream":true}') is None
    assert RESPONSES.ask_for_stream(b'{"background":true}') is None
    assert RESPONSES.ask_for_usage(b'{"stream":true}') is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": "completed", "output": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, None),
        (
            {"status": "completed", "output": [{"type": "function_call", "call_id": "c", "arguments": "{"}]},
            "output[0].arguments",
        ),
        ({"status": "incomplete", "output": [{"type": "function_call", "call_id": "c", "arguments": "{"}]}, None),
        ({"output": [{}, {"type": "custom_tool_call", "input": "x"}]}, "output[1] has no call_id"),
        (
            {"usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 4}},
            "but input_tokens and output_tokens make 3",
        ),
        ({"usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}, "output": None}, None),
        (
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "usage": {"output_tokens": 8},
            },
            "your max_output_tokens value is too small, please set a larger value (suggested max_output_tokens: 16)",
        ),
    ],
)
def test_warnings(answer: Json, words: str | None) -> None:
    """Each defect of a response is reported with its place."""
    result = list(RESPONSES.warnings({}, answer, streamed=False))
    assert len(result) == (words is not None)
    assert all(words is not None and words in warning for warning in result)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": "completed"}, "completed"),
        ({"status": "in_progress"}, None),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "cancelled", "incomplete_details": None}, "cancelled"),
        ({}, None),
    ],
)
def test_finish_reasons(answer: Json, reason: str | None) -> None:
    """The reason why it is incomplete counts, else its last status."""
    assert RESPONSES.finish_reason({"object": "response", **answer}) == reason

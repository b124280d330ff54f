"""Anthropic's messages: merged, ended early and judged, wherever the stream is cut."""

import json
from typing import Any, cast

import pytest

from moonpalace_addons.wire.chat.event_data import DataReader, in_runs, make_decoder, read_data
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.chat.text_matcher import TextDelta
from moonpalace_addons.wire.faces.messages import MARK, MESSAGES
from moonpalace_addons.wire.faces.messages_merging import NO_MESSAGE, NO_OBJECT, NOT_STARTED, SAME_INDEX
from moonpalace_addons.wire.faces.summary import summarize
from moonpalace_addons.wire.usage import Usage
from tests.cuts import every_cut
from tests.loop_word import guard_of

type Json = dict[str, Any]

START: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "kimi-k3",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 256, "output_tokens": 1},
}
USAGE = {"input_tokens": 10, "cache_read_input_tokens": 256, "output_tokens": 42}


def start(**more: object) -> Json:
    return {"type": "message_start", "message": START | more}


def block(index: int, **block: object) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **more: object) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def texts(index: int, kind: str, member: str, *pieces: str) -> list[Json]:
    return [delta(index, kind, **{member: piece}) for piece in pieces]


def stop(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", **more: object) -> list[Json]:
    told = {"stop_reason": reason, "stop_sequence": None, **more}
    return [{"type": "message_delta", "delta": told, "usage": {"output_tokens": 42}}, {"type": "message_stop"}]


def message(*content: Json, reason: str = "end_turn", **more: object) -> Json:
    return START | {"content": list(content), "stop_reason": reason, "usage": USAGE} | more


PING: Json = {"type": "ping"}
CITATION: Json = {"type": "char_location", "cited_text": "moon", "document_index": 0}
RESULT: Json = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result"}],
}
HELLO = [start(), PING, block(0, type="text", text=""), *texts(0, "text_delta", "text", "你", "好 🌙", "!"), stop(0)]

STREAMS: dict[str, tuple[list[Json], Json]] = {
    "text": ([*HELLO, *end()], message({"type": "text", "text": "你好 🌙!"})),
    "thinking, text and a tool call": (
        [
            start(),
            block(0, type="thinking", thinking="", signature=""),
            *texts(0, "thinking_delta", "thinking", "Let me", " see"),
            delta(0, "signature_delta", signature="c2ln"),
            stop(0),
            block(1, type="redacted_thinking", data="cmVk"),
            stop(1),
            block(2, type="text", text=""),
            *texts(2, "text_delta", "text", "Sure."),
            stop(2),
            block(3, type="tool_use", id="toolu_1", name="weather", input={}),
            *texts(3, "input_json_delta", "partial_json", "", '{"city": "上', '海", "days": [1, 2.5', "]}"),
            stop(3),
            block(4, type="tool_use", id="toolu_2", name="now", input={}),
            *texts(4, "input_json_delta", "partial_json", ""),
            stop(4),
            *end("tool_use"),
        ],
        message(
            {"type": "thinking", "thinking": "Let me see", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "cmVk"},
            {"type": "text", "text": "Sure."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "上海", "days": [1, 2.5]}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
            reason="tool_use",
        ),
    ),
    "a server tool and citations": (
        [
            start(),
            block(0, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
            *texts(0, "input_json_delta", "partial_json", '{"query":', '"moon"}'),
            stop(0),
            block(1, **RESULT),
            stop(1),
            block(2, type="text", text="", citations=[]),
            delta(2, "citations_delta", citation=CITATION),
            *texts(2, "text_delta", "text", "The ", "moon."),
            delta(2, "citations_delta", citation=CITATION | {"document_index": 1}),
            stop(2),
            {
                "type": "message_delta",
                "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END", "container": {"id": "c"}},
                "usage": {"output_tokens": 42, "server_tool_use": {"web_search_requests": 1}},
                "context_management": {"applied_edits": []},
            },
            {"type": "message_stop", "metrics": {"latency": 3}},
        ],
        message(
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "moon"}},
            RESULT,
            {"type": "text", "text": "The moon.", "citations": [CITATION, CITATION | {"document_index": 1}]},
            reason="stop_sequence",
            stop_sequence="END",
            container={"id": "c"},
            usage=USAGE | {"server_tool_use": {"web_search_requests": 1}},
            context_management={"applied_edits": []},
            metrics={"latency": 3},
        ),
    ),
    "a delta of an unknown type": (
        [
            start(),
            block(0, type="compaction", content=None),
            delta(0, "compaction_delta", content="short", encrypted_content="eHg="),
            stop(0),
            *end(),
        ],
        message({"type": "compaction", "content": "short", "encrypted_content": "eHg="}),
    ),
}


def written(events: list[Json]) -> bytes:
    lines = [f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n" for value in events]
    return "".join(lines).encode()


def merged(events: list[Json]) -> tuple[Json, list[str]]:
    """Merge the events; return the message and the doubts."""
    merger, decoder = MESSAGES.make_merger(), make_decoder()
    for event in decoder.feed(written(events)):
        for value, error in read_data(event).values:
            merger.feed(value, error)
    return merger.result(), list(merger.doubts)


def edited(plan: Plan, pieces: list[bytes]) -> tuple[StreamEditor, bytes]:
    """Feed the pieces of a stream; return the editor and what the client gets."""
    editor, output = StreamEditor(plan), b""
    for piece in pieces:
        editor.feed(piece)
        output += editor.take()
    editor.close()
    return editor, output + editor.take()


@pytest.mark.parametrize("name", STREAMS)
def test_merged(name: str) -> None:
    """A stream merges to the answer of the API without streaming, including the order of its members."""
    events, expected = STREAMS[name]
    message, doubts = merged(events)
    assert (message, doubts) == (expected, [])
    assert list(message)[: len(START)] == list(START)


@pytest.mark.parametrize("name", STREAMS)
def test_cut_anywhere(name: str) -> None:
    """Whole, byte by byte and cut at every position, the answer for the client is the same."""
    events, expected = STREAMS[name]
    stream = written(events)
    for pieces in every_cut(stream):
        editor, output = edited(Plan(MESSAGES, coerce=True), pieces)
        assert (json.loads(output), editor.is_complete, editor.error) == (expected, True, None)
        assert edited(Plan(MESSAGES), pieces)[1] == stream


@pytest.mark.parametrize("name", STREAMS)
def test_a_part_of_a_stream_is_no_answer(name: str) -> None:
    """A client that waits for a document gets none from a broken stream, except after the stop reason."""
    events, _ = STREAMS[name]
    for count in range(len(events) - 2):
        editor, output = edited(Plan(MESSAGES, coerce=True), [written(events[:count])])
        assert (editor.is_whole, editor.is_complete, output) == (False, False, b"")
    assert edited(Plan(MESSAGES, coerce=True), [written(events[:-1])])[0].is_whole


@pytest.mark.parametrize(
    ("events", "content", "doubts"),
    [
        ([start(), *texts(0, "text_delta", "text", "a", "b")], [{"type": "text", "text": "ab"}], [NOT_STARTED]),
        (
            [start(), *texts(1, "thinking_delta", "thinking", "a")],
            [{"type": "thinking", "thinking": "a"}],
            [NOT_STARTED],
        ),
        (
            [block(0, type="text", text="a"), *texts(0, "text_delta", "text", "b")],
            [{"type": "text", "text": "ab"}],
            [NO_MESSAGE],
        ),
        (
            [
                start(),
                block(0, type="tool_use", id="t", name="n", input={}),
                delta(0, "input_json_delta", partial_json='{"a'),
            ],
            [{"type": "tool_use", "id": "t", "name": "n", "input": {}, "partial_json": '{"a'}],
            [NO_OBJECT],
        ),
        (
            [start(content=[{"type": "text", "text": "a"}]), *texts(0, "text_delta", "text", "b")],
            [{"type": "text", "text": "ab"}],
            [],
        ),
        (
            [
                start(),
                *(
                    each
                    for name in "ab"
                    for each in (
                        block(0, type="tool_use", id=name, name=name, input={}),
                        *texts(0, "input_json_delta", "partial_json", '{"path":', f' "{name}"}}'),
                        stop(0),
                    )
                ),
            ],
            [{"type": "tool_use", "id": name, "name": name, "input": {"path": name}} for name in "ab"],
            [SAME_INDEX],
        ),
        (
            [start(content=[{"type": "text", "text": ""}]), block(0, type="text", text=""), *HELLO[3:]],
            [{"type": "text", "text": "你好 🌙!"}],
            [],
        ),
    ],
)
def test_what_a_stream_lacks(events: list[Json], content: list[Json], doubts: list[str]) -> None:
    """A stream that violates the grammar, or breaks off, is merged as far as possible, and its defects are reported."""
    message, told = merged(events)
    assert (message["content"], told) == (content, doubts)


def test_an_error() -> None:
    """An error alone is the API's error; after a beginning it is added to the received part."""
    error: Json = {"type": "overloaded_error", "message": "Overloaded"}
    event: Json = {"type": "error", "error": error}
    assert merged([event])[0] == merged([PING, event])[0] == event
    message, _ = merged([*HELLO, event])
    assert (message["content"], message["error"]) == ([{"type": "text", "text": "你好 🌙!"}], error)
    editor, output = edited(Plan(MESSAGES, coerce=True), [written([start(), event])])
    assert (editor.has_content, output, editor.error and editor.error.status) == (False, b"", 529)
    assert editor.error is not None
    assert MESSAGES.error_answer(editor.error) == event


GUARD = Plan(MESSAGES, make_guard=lambda: guard_of(MESSAGES))
LOOPS = {
    "text": (block(0, type="text", text=""), *texts(0, "text_delta", "text", "a", "LOOP")),
    "thinking": (block(0, type="thinking", thinking=""), *texts(0, "thinking_delta", "thinking", "a", "LOOP")),
    "partial_json": (
        block(0, type="tool_use", id="t", name="n", input={}),
        *texts(0, "input_json_delta", "partial_json", '{"a": "', "LOOP"),
    ),
}


@pytest.mark.parametrize("channel", LOOPS)
def test_a_loop_is_ended_in_the_grammar_of_messages(channel: str) -> None:
    """After the loop's event the open block and the message end; nothing that follows passes."""
    begun = [start(), *LOOPS[channel]]
    stream = written([*begun, *texts(0, "text_delta", "text", "more"), stop(0), *end()])
    for pieces in every_cut(stream):
        editor, output = edited(GUARD, pieces)
        assert editor.found is not None
        assert editor.found.place == f"block 0, {channel}"
        assert output.startswith(written(begun))
        values = [value for event in make_decoder().feed(output) for value, _ in read_data(event).values]
        assert values[len(begun) :] == [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": MARK},
                "usage": {"output_tokens": 1},
            },
            {"type": "message_stop"},
        ]
        assert summarize(merged(cast(list[Json], values))[0]).finish_reason == "repeat"


def test_texts_of_other_blocks_are_no_loop() -> None:
    """Each text of each block has its own detector, which gets all of it."""
    events, _ = STREAMS["thinking, text and a tool call"]
    channels = MESSAGES.make_channels()
    found: dict[tuple[int, str], str] = {}
    for part, channel, text in (each for event in events for each in channels.texts(event)):
        found[part, channel] = found.get((part, channel), "") + text
    assert found == {
        (0, "thinking"): "Let me see",
        (2, "text"): "Sure.",
        (3, "partial_json"): '{"city": "上海", "days": [1, 2.5]}',
    }


def test_token_channels() -> None:
    """Thinking is reasoning; text, and the names and inputs of tools, are visible; other events have no tokens."""
    events, _ = STREAMS["thinking, text and a tool call"]
    channels = [MESSAGES.token_channel(event) for event in events]
    assert channels[2:4] == ["reasoning"] * 2
    assert [number for number, channel in enumerate(channels) if channel == "visible"] == [9, 11, 13, 14, 15, 17]


def test_summary() -> None:
    """ID, model, stop reason and all tokens, of a message as of its stream."""
    events, expected = STREAMS["text"]
    for answer in (expected, merged(events)[0]):
        summary = summarize(answer)
        assert (summary.id, summary.model, summary.finish_reason) == ("msg_1", "kimi-k3", "end_turn")
        assert summary.usage == Usage(266, 42, 308, 256)


def test_requests_for_a_stream() -> None:
    """Only `stream` changes: the API rejects members that it does not know."""
    edited = MESSAGES.ask_for_stream(b'{"model":"m", "stream":false}')
    assert edited is not None
    assert (edited.body, edited.change) == (b'{"model":"m", "stream":true}', "stream set to true")
    assert MESSAGES.ask_for_stream(b'{"stream":true}') is None
    assert MESSAGES.ask_for_usage(b'{"stream":true}') is None


@pytest.mark.parametrize(
    ("reason", "streamed", "rest"),
    [
        ("max_tokens", False, " (suggested max_tokens: 84)"),
        ("max_tokens", True, ""),
        (None, True, "; the answer ended without a finish reason, it may be incomplete"),
        ("end_turn", True, None),
        ("tool_use", False, None),
    ],
)
def test_warnings(reason: str | None, streamed: bool, rest: str | None) -> None:
    """A message that was cut off gives the documented sentence."""
    sentence = "it seems that your max_tokens value is too small, please set a larger value"
    tool = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    answer = message(*([tool] if reason == "tool_use" else [])) | {"stop_reason": reason}
    told = list(MESSAGES.warnings({"max_tokens": 42}, answer, streamed=streamed))
    assert told == ([] if rest is None else [sentence + rest])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (message({"type": "tool_use", "name": "n", "input": {}}, reason="tool_use"), "content[0] has no id"),
        (message({"type": "tool_use", "id": "t", "name": "n"}), 'stop_reason is "end_turn" beside tool_use'),
        (message({"type": "text", "text": "a"}, reason="tool_use"), 'stop_reason is "tool_use" without'),
    ],
)
def test_deviations(answer: Json, words: str) -> None:
    """Each violation of the API's format gives one warning, unless MoonPalace itself ended the message."""
    (told,) = MESSAGES.warnings({}, answer, streamed=True)
    assert told.startswith(words)
    assert "end_turn" not in words or not [*MESSAGES.warnings({}, answer | {"stop_sequence": MARK}, streamed=True)]


def test_texts_are_read_without_parsing() -> None:
    """Events that only differ in one text merge and time as if parsed, text by text and in runs."""
    unparsed = 0
    for events, expected in STREAMS.values():
        reader, merger, runs = DataReader(), MESSAGES.make_merger(), MESSAGES.make_merger()
        read = [value for event in make_decoder().feed(written(events)) for value in reader.read(event).values]
        for value, error in read:
            merger.feed(value, error)
        for value, error in in_runs(read):
            runs.feed(value, error)
        assert merger.result() == runs.result() == expected
        channels = [MESSAGES.token_channel(value) for value, _ in read]
        assert channels == [MESSAGES.token_channel(event) for event in events]
        unparsed += sum(isinstance(value, TextDelta) for value, _ in read)
    assert unparsed == 7

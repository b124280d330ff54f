"""Tests of reading answers."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.store.write import answers as store_reading
from moonpalace_addons.store.write.answers import Received, Said, read, read_events
from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat.event_data import DataReader, make_decoder
from moonpalace_addons.wire.json_value import dump_json
from moonpalace_addons.wire.websocket_events import CLIENT, as_event
from tests.tables import for_each
from tests.wire.chat.test_stream_editor_runs import streams

KEY = b"sk-0123456789"


def received(body: bytes, content_type: str | None, problem: str | None = None) -> Received:
    return Received(1, 200, "", content_type, body, [(len(body), 5)], problem)


def events(*data: str) -> bytes:
    return "".join(f"data: {text}\n\n" for text in data).encode()


def delta(content: str) -> str:
    return json.dumps({"id": "c", "choices": [{"index": 0, "delta": {"content": content}}]})


@for_each(
    ("body", "content_type", "completion"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/problem+json", {"a": 1}),
        (b'{"a": 1}', "text/event-stream", {"a": 1}),
        (b'{"a": 1}', "text/html", {"a": 1}),
        (b'{"a": 1}', None, {"a": 1}),
        (b'\xef\xbb\xbf\n\n{"a": 1}\n', "application/json", {"a": 1}),
        (b"1", "application/json", 1),
        (b"1", "text/plain", None),
        (b'{"a": 1', "application/json", None),
        (b"", "application/json", None),
        (b"\xff", "application/json", None),
        (b"[" * 100_000, "application/json", None),
        (b"1" * 10_000, "application/json", None),
    ],
)
def test_json_is_parsed_and_every_body_kept(body: bytes, content_type: str | None, completion: object) -> None:
    """A body that is JSON is parsed, whatever its content type; the bytes of every body are kept."""
    reading = read(received(body, content_type), ())
    assert (reading.completion, reading.body) == (completion, body)


def test_a_stream_is_merged() -> None:
    """The stored body of a chat stream is the merged completion."""
    reading = read(received(events(delta("你"), delta("好"), "[DONE]"), "text/event-stream"), ())
    assert json.loads(reading.body) == reading.completion
    assert json.loads(reading.body)["choices"][0]["message"]["content"] == "你好"
    assert "你好".encode() in reading.body
    assert len(reading.events) == 2


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/octet-stream", None])
def test_a_stream_is_one_under_any_label(content_type: str | None) -> None:
    """Events are recognised, whatever the content type."""
    answer = received(b": hb\n\n" + events(delta("a"), "[DONE]"), content_type)
    assert answer.is_stream
    assert json.loads(read(answer, ()).body)["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize("end", ["\n", "\n\n"])
def test_events_with_one_line_end_between(end: str) -> None:
    """If a server separates events by only one line end, every delta is merged, and no warning results."""
    body = (end.join(f"data: {text}" for text in (delta("Hel"), delta("lo"), "[DONE]")) + "\n\n").encode()
    reading = read(received(body, "text/event-stream"), ())
    assert json.loads(reading.body)["choices"][0]["message"]["content"] == "Hello"
    assert (reading.warnings, reading.is_done, len(reading.events)) == ([], True, 2)
    assert [end for end, _ in reading.events] == sorted({end for end, _ in reading.events})


def test_surrogates_that_meet_in_a_merge_are_kept() -> None:
    """A character whose halves are in two deltas becomes one character of the body; a lone half stays escaped."""
    halves = events(
        '{"choices": [{"delta": {"content": "\\ud83d"}}]}', '{"choices": [{"delta": {"content": "\\ude80"}}]}'
    )
    reading = read(received(halves, "text/event-stream"), ())
    assert json.loads(reading.body)["choices"][0]["message"]["content"] == "🚀"
    assert json.loads(dump_json({"a": "\ud83d"})) == {"a": "\ud83d"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"data: hello\n\n",
        b'data: {"type": "ping"}\n\n',
        b'data: {"type": "unknown.delta", "delta": "a"}\n\n',
    ],
)
def test_other_streams_keep_their_text(body: bytes) -> None:
    """The stored answer of a stream in an unknown format is its text, unchanged."""
    reading = read(received(body, "text/event-stream"), ())
    assert (reading.completion, reading.body) == (None, body)


def test_what_was_guessed_in_merging_is_warned_of() -> None:
    """Two tool calls with the same index are kept separate, and the row has a warning."""
    calls = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    chunks = [json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}) for call in calls]
    reading = read(received(events(*chunks), "text/event-stream"), ())
    assert [call["id"] for call in json.loads(reading.body)["choices"][0]["message"]["tool_calls"]] == ["a", "b"]
    assert reading.warnings == [
        "merging the stream: several tool calls had the same index, and were told apart by id, name and arguments"
    ]


def test_an_error_in_another_stream() -> None:
    """For a stream in an unknown format, the answer is its text, and the first error in it is recognised."""
    body = b'data: {"type": "began"}\n\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n'
    reading = read(received(body, "text/event-stream"), ())
    assert (reading.completion, reading.body) == ({"error": {"type": "overloaded_error"}}, body)


def test_an_error_in_a_stream_is_part_of_the_completion() -> None:
    """An error among the events is in the merged completion, after the data before it."""
    error = '{"error": {"type": "server_error", "message": "broke"}}'
    reading = read(received(events(delta("so far"), error), "text/event-stream"), ())
    merged = json.loads(reading.body)
    assert merged["error"] == {"type": "server_error", "message": "broke"}
    assert merged["choices"][0]["message"]["content"] == "so far"


def test_a_secret_that_comes_together_in_a_merge_is_masked() -> None:
    """A secret that is split over two deltas is masked in the merged completion."""
    reading = read(received(events(delta("sk-01234"), delta("56789 ok")), "text/event-stream"), (KEY,))
    assert KEY not in reading.body
    assert b"************* ok" in reading.body


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", None])
def test_a_broken_encoding_is_told(content_type: str | None) -> None:
    """An error in the encoding is among the warnings."""
    warnings = read(received(b"", content_type, "truncated"), ()).warnings
    assert warnings == ["the answer's encoding is broken: truncated"]


CUT = f"data: {delta('b')}".encode()


@pytest.mark.parametrize(
    ("body", "warnings", "is_cut"),
    [
        (events(delta("a"), "{nope", "[DONE]"), ["events of the stream that are not JSON: 1"], False),
        (events(f"{{nope\ndata: {delta('a')}", "[DONE]"), ["events of the stream that are not JSON: 1"], False),
        (events("x", delta("a"), "y"), ["events of the stream that are not JSON: 2"], False),
        (events(delta("a"), "", "null", "[DONE] "), [], False),
        (events(delta("a")) + b"data: [DONE]", [], False),
        (events(delta("a")) + b": comment", [], False),
        (events(delta("a")) + CUT, [], True),
        (events(delta("a")) + CUT[:-9], [], True),
        (events("hello") + b"data: hel", [], True),
        (events("hello", "you"), [], False),
    ],
)
def test_what_is_odd_about_a_stream_is_told(body: bytes, warnings: list[str], is_cut: bool) -> None:
    """Events of a chat stream that are not JSON are counted, and a last event without its blank line is marked."""
    reading = read(received(body, "text/event-stream"), ())
    assert (reading.warnings, reading.is_cut) == (warnings, is_cut)


def finished(index: int, reason: str | None) -> str:
    return json.dumps({"choices": [{"index": index, "delta": {}, "finish_reason": reason}]})


@pytest.mark.parametrize(
    ("is_cut", "expected"), [(False, [None, "stop", None, ""]), (True, ["repeat", "stop", "repeat", "repeat"])]
)
def test_choices_that_we_cut_have_our_reason(is_cut: bool, expected: list[str | None]) -> None:
    """In a stream that we ended, the unfinished choices have the reason that the client got, and no others."""
    stream = events(finished(0, None), finished(1, "stop"), finished(2, None), finished(3, ""))
    reading = read(received(stream, "text/event-stream"), (), cut_at=len(stream) if is_cut else None)
    assert [choice["finish_reason"] for choice in json.loads(reading.body)["choices"]] == expected
    assert json.loads(reading.body) == reading.completion


def test_what_came_after_the_cut_is_no_answer() -> None:
    """Events that upstream had already sent stay in the raw stream only, since the client never got them."""
    first, second = events(finished(0, None)), events(finished(0, "stop"))
    answer = received(first + second, "text/event-stream")
    assert json.loads(read(answer, (), cut_at=len(first)).body)["choices"][0]["finish_reason"] == "repeat"
    assert json.loads(read(answer, ()).body)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "body", [b"", events("hello"), events('{"error": {"message": "broke"}}'), events('{"choices": 1}')]
)
def test_nothing_to_cut(body: bytes) -> None:
    """A cut stream without choices is read as usual."""
    answer = received(body, "text/event-stream")
    assert read(answer, (), cut_at=len(body)) == read(answer, ())


def test_json_is_never_cut() -> None:
    """An answer that is not a stream keeps its reasons."""
    body = b'{"choices": [{"finish_reason": null}]}'
    assert read(received(body, "application/json"), (), cut_at=0).body == body


@pytest.mark.parametrize(
    ("event", "name", "bound"),
    [
        (b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', "MAX_EVENTS", 1000),
        (b'data: {"x":[%b]}\n\n' % b",".join([b"1"] * 1000), "MAX_VALUES", 99_999),
        (b'data: {"x":[%b]}\n\n' % b",".join([b"[]"] * 1000), "MAX_VALUES", 999_999),
        (b"data: 1\n\n", "MAX_EVENTS", 1000),
    ],
)
def test_a_stream_without_end_is_read_in_part(
    monkeypatch: pytest.MonkeyPatch, event: bytes, name: str, bound: int
) -> None:
    """The work for a stream is limited; the row says so, and has no warning about its end, which was not read."""
    monkeypatch.setattr(store_reading, name, bound)
    body = event * (300_000 // len(event))
    found = read(received(body, "text/event-stream"), ())
    assert not found.is_all
    assert not found.is_cut
    assert not found.is_done
    assert "the stream has too many events to be read to its end; its bytes are kept" in found.warnings
    assert len(found.events) < len(body) // len(event)
    whole = read(received(event * 10 + b"data: [DONE]\n\n", "text/event-stream"), ())
    assert whole.is_all
    assert whole.is_done


@given(streams(), st.sampled_from([7, 100, 65_536]))
def test_runs_of_events_say_what_their_events_say(stream: bytes, size: int) -> None:
    """Events that are read in runs, as nearly all are, give the same result as events read one by one."""
    decoder, reader, alone = make_decoder(), DataReader(), Said()
    for event in (*decoder.feed(stream), *decoder.close()):
        alone.add(event, reader.read(event))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_reading, "SLICE_SIZE", size)
        assert read_events(make_decoder(), stream) == alone


def test_texts_of_another_face_are_not_merged() -> None:
    """What adds a text to an answer of another endpoint adds none to this one, the second time neither."""
    other = json.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}})
    body = events(delta("a"), other, other, delta("c"), "[DONE]")
    reading = read(received(body, "text/event-stream"), (), path="/v1/chat/completions")
    assert json.loads(reading.body)["choices"][0]["message"] == {"role": "assistant", "content": "ac"}


def test_events_are_read_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the events of a text only the first and the end mark are read separately."""
    alone = list[sse.Event]()
    monkeypatch.setattr(Said, "add", lambda _, event, __: alone.append(event))
    said = read_events(make_decoder(), events(*[delta("word ")] * 500, "[DONE]"))
    assert (len(said.values), len(alone)) == (499, 2)


@pytest.mark.parametrize(
    ("event", "most"),
    [
        (b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', 300),
        (as_event(b'{"type":"response.create","input":"Hello"}', CLIENT, is_text=True), 40),
    ],
    ids=["deltas", "messages of a WebSocket"],
)
def test_memory_of_many_events(event: bytes, most: int) -> None:
    """Reading many tiny events takes little memory: only their content is kept."""
    body = event * 30_000
    answer = received(body, "text/event-stream")
    tracemalloc.start()
    try:
        read(answer, ())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most * 30_000

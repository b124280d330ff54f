"""The output for the client of a stream that is cut, merged or filtered, at every cut of the input."""

import json
import tracemalloc

import pytest

from moonpalace_addons.wire import sieve, sse
from moonpalace_addons.wire.chat import stream_editor
from moonpalace_addons.wire.chat.stream_editor import StreamEditor, merged
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from tests.tables import for_each
from tests.wire.chat.editing import (
    BOM,
    COERCE,
    DONE,
    GUARD,
    HELLO,
    HIDE,
    PLANS,
    USAGE,
    all_cuts,
    chunk,
    edited,
    event,
    parted,
)
from tests.wire.merging import decoded, merge_events

STREAMS = {
    "nothing": b"",
    "plain": HELLO + DONE,
    "no done": HELLO,
    "crlf": HELLO.replace(b"\n", b"\r\n") + b"data: [DONE]\r\n\r\n",
    "cr": HELLO.replace(b"\n", b"\r") + b"data: [DONE]\r\r",
    "mixed line ends": event(chunk("a"), "\r\n") + event(chunk("b")) + event(chunk("c"), "\r") + b"\n\r\n\r" + DONE,
    "a byte order mark": BOM + HELLO + DONE,
    "a mark alone": BOM,
    "comments": b": hb\n\n" + event(chunk("a")) + b":\n: in\n" + event(chunk("b")) + b"data: x\n: in\n\n: last",
    "all fields": b"retry: 10\n\nid: 1\nevent: x\n" + HELLO + b"event: ping\n\nid\n\n" + DONE,
    "several lines of data": b'data: {"choices":\ndata: [], \ndata:"x":1}\n\n' + DONE,
    "an end after a line": HELLO + b"data: [DONE]\n",
    "an end in a line": HELLO + b'data: {"choices": [',
    "an end in a code point": HELLO + b'data: {"a": "\xe6\x9c',
    "no JSON": b"data: hello\n\ndata: [1]\n\ndata: null\n\ndata\n\n" + b"\xff\xfe\n\n" + DONE,
    "after the end": HELLO + DONE + event(chunk("more")) + b"\n\n\n",
    "one line end between events": parted(chunk("a"), chunk("b")) + parted(chunk("c"), "[DONE]"),
    "one line end, CRLF": parted(chunk("a"), chunk("b"), "[DONE]", end="\r\n"),
    "one line end, CR": parted(chunk("a"), chunk("b"), "[DONE]", end="\r") + b": hb\r",
    "no blank line at all": parted(chunk("a"), chunk("b"), "[DONE]").removesuffix(b"\n"),
    "JSON": b'{\n"object":\n\n"chat.completion"}\n',
    "an error": b'\n {"error": "x"}',
    "a page": b"<html>\n\ndata: x\n\n",
    "usage that is not alone": event(chunk("a", usage={"total_tokens": 1})) + event({"choices": []}) + DONE,
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", STREAMS)
def test_what_needs_no_change_passes_byte_for_byte(name: str, plan: str) -> None:
    """A stream without a loop and without usage passes unchanged, however it was cut."""
    for pieces in all_cuts(STREAMS[name]):
        assert edited(PLANS[plan], pieces) == STREAMS[name]


@pytest.mark.parametrize("name", STREAMS)
def test_a_guard_delays_nothing(name: str) -> None:
    """With only a guard, every piece passes immediately, even half an event."""
    for pieces in all_cuts(STREAMS[name]):
        editor = StreamEditor(GUARD)
        for piece in pieces:
            editor.feed(piece)
            assert editor.take() == piece


@for_each("name", STREAMS)
def test_sifting_delays_events_only_until_they_are_complete(name: str) -> None:
    """If usage is hidden, only the lines of one incomplete event are held back."""
    stream = STREAMS[name]
    editor = StreamEditor(HIDE)
    output = b""
    for at in range(len(stream)):
        editor.feed(stream[at : at + 1])
        output += editor.take()
        assert stream.startswith(output)
        held = stream[len(output) : at + 1]
        assert not held.startswith((b":", b"\n", b"\r"))
        assert not any(held.endswith(blank) for blank in (b"\n\n", b"\r\r", b"\r\n\r", b"\n\r"))


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (HELLO + event(USAGE) + DONE, HELLO + DONE),
        (event(USAGE), b""),
        (event(USAGE, "\r\n") + DONE, DONE),
        (event(USAGE, "\r") + DONE, DONE),
        (event(chunk("a"), "\r\n") + event(USAGE, "\r\n") + DONE, event(chunk("a"), "\r\n") + DONE),
        (event(chunk("a"), "\r\n") + event(USAGE, "\r\n"), event(chunk("a"), "\r\n")),
        (event(chunk("a"), "\r\n") + event(USAGE), event(chunk("a"), "\r\n")),
        (event(USAGE) + event(USAGE) + b": hb\n\n" + event(USAGE), b": hb\n\n"),
        (b": hb\n\n: hb\n" + event(USAGE) + b": hb\n\n" + DONE, b": hb\n\n: hb\n: hb\n\n" + DONE),
        (b"id: 1\n: hb\r\nevent: x\n" + event(USAGE) + DONE, b": hb\r\n" + DONE),
        (b"retry: 10\n\n" + event(USAGE) + DONE, b"retry: 10\n\n" + DONE),
        (b"\n\n" + event(USAGE) + b"\n\n", b"\n\n\n\n"),
        (b'data: {"choices": [],\ndata: "usage": {"a": 1}}\n\n' + DONE, DONE),
        (HELLO + event(USAGE).rstrip(b"\n"), HELLO),
        (HELLO + event(USAGE)[:-1], HELLO),
        (event(USAGE | {"usage": None}) + DONE, event(USAGE | {"usage": None}) + DONE),
        (event({"usage": {}}) + DONE, event({"usage": {}}) + DONE),
        (parted(USAGE, "[DONE]"), DONE),
        (parted(chunk("a"), USAGE, "[DONE]"), parted(chunk("a"), "[DONE]")),
        (parted(chunk("a"), USAGE, "[DONE]", end="\r\n"), parted(chunk("a"), "[DONE]", end="\r\n")),
        (parted(chunk("a"), USAGE, "[DONE]", end="\r"), parted(chunk("a"), "[DONE]", end="\r")),
        (parted(chunk("a"), USAGE), event(chunk("a")).removesuffix(b"\n")),
        (parted(USAGE, USAGE) + DONE, DONE),
    ],
)
def test_usage_that_was_not_asked_for_vanishes(stream: bytes, expected: bytes) -> None:
    """Exactly the events with empty choices and usage are removed; comments around and within them are kept."""
    for pieces in all_cuts(stream):
        assert edited(HIDE, pieces) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_too_long_an_event_is_not_held_back(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """An event beyond the decoder's limit passes unchanged before it is complete; usage after it is still hidden."""
    limit = 200
    monkeypatch.setattr(stream_editor, "make_decoder", lambda: sse.Decoder(limit))
    monkeypatch.setattr(sieve, "DEFAULT_EVENT_LIMIT", limit)
    long = event(USAGE | {"x": "y" * 300}, end)
    stream = event(chunk("a"), end) + long + event(USAGE, end) + DONE
    expected = event(chunk("a"), end) + long + DONE
    for pieces in all_cuts(stream):
        assert edited(HIDE, pieces) == expected
    editor = StreamEditor(HIDE)
    output = b""
    for at in range(0, len(long), 10):
        editor.feed(long[at : at + 10])
        output += editor.take()
        assert at - len(output) <= limit
    for middle in range(len(stream)):  # comments do not count for the decoder's bound, but are held back too
        assert edited(HIDE, [stream[:middle], stream[middle:]]) == expected


def test_memory_stays_bounded() -> None:
    """Of 3 MB of events with usage almost nothing is held; of a comment of 3 MB, as much as the decoder needs."""
    editor = StreamEditor(PLANS["both"])
    events = event(chunk("word ")) * 200 + event(USAGE)
    comment = b"x" * 10_000
    tracemalloc.start()
    try:
        for _ in range(3_000_000 // len(events)):
            editor.feed(events)
            editor.take()
        assert tracemalloc.get_traced_memory()[1] < 500_000
        editor.feed(b": ")
        for _ in range(300):
            editor.feed(comment)
            assert editor.take().endswith(comment)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000  # the decoder holds a comment up to its own bound, and copies it as it grows


# ---- one answer of it all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "no done", "crlf", "cr", "a byte order mark", "all fields", "after the end"])
def test_coerced_is_merged(name: str) -> None:
    """Nothing is sent before the end, and then the completion merged from the events."""
    decoder = sse.Decoder()
    expected = merge_events([*decoder.feed(STREAMS[name]), *decoder.close()])
    for pieces in all_cuts(STREAMS[name]):
        editor = StreamEditor(COERCE)
        for piece in pieces:
            editor.feed(piece)
            assert editor.take() == b""
        editor.close()
        assert json.loads(editor.take()) == expected
        assert editor.take() == b""


FINISHED = event(chunk(reason="stop"))
WHOLE = {
    "done": (HELLO + DONE, True),
    "done without a reason": (event(chunk("a")) + DONE, True),
    "done without a blank line": (event(chunk("a")) + b"data: [DONE]", True),
    "a reason without done": (event(chunk("a")) + FINISHED, True),
    "a reason without a blank line": (event(chunk("a")) + FINISHED.strip(), True),
    "an error": (event(chunk("a")) + event({"error": {"message": "broke"}}), False),
    "an error of another shape": (event(chunk("a")) + event([{"error": {"message": "broke"}}]), False),
    "an error in plain text": (event(chunk("a")) + b"event: error\ndata: broke\n\n", False),
    "an error before done": (event(chunk("a", reason="stop")) + event({"error": "broke"}) + DONE, False),
    "an error after done": (HELLO + DONE + event({"error": "broke"}), True),
    "an error alone": (event({"error": {"message": "broke"}}) + DONE, False),
    "one line end between events": (parted(chunk("Hel"), chunk("lo", reason="stop"), USAGE, "[DONE]"), True),
    "two chunks in one event": (b": hb\n" + parted(chunk("Hel"), chunk("lo")) + FINISHED, True),
    "an event that is no JSON": (event(chunk("a")) + event("hello") + FINISHED + DONE, False),
    "half an event": (event(chunk("a")) + event('{"choices": [') + FINISHED + DONE, False),
    "a line that is no JSON": (parted(chunk("a"), "{nope", chunk("b")) + FINISHED + DONE, False),
    "half an event at the end": (event(chunk("a")) + FINISHED + b'data: {"usage', False),
    "an event that is no JSON after done": (HELLO + DONE + event("hello"), True),
    "keep-alives": (event("") + event("null") + b"event: ping\ndata: pong\n\n" + HELLO + DONE, True),
    "success of another shape": (event(chunk("a")) + event({"base_resp": {"status_code": 0}}), False),
    "no reason": (event(chunk("a")), False),
    "a reason for one of two": (event(chunk("a")) + event(chunk("b", index=1)) + FINISHED, False),
    "a reason for two of two": (
        event(chunk("b", index=1)) + FINISHED + event(chunk(index=1, reason="length")) + event(chunk("", index=1)),
        True,
    ),
    "an empty reason": (event(chunk("a", reason="")), False),
    "a reason after an empty one, and one more": (
        event(chunk("a", reason="")) + FINISHED + event(chunk(reason="")),
        True,
    ),
    "a reason cut in two": (event(chunk("a")) + FINISHED[:-12], False),
    "nothing": (b"", False),
    "comments": (b": hb\n\n" * 3, False),
    "done alone": (DONE, False),
    "other events": (event({"type": "ping"}) + DONE, False),
}


@pytest.mark.parametrize("name", WHOLE)
def test_only_a_whole_answer_comes_out(name: str) -> None:
    """A stream that ends prematurely, or contains nothing else, gives no answer."""
    stream, whole = WHOLE[name]
    for pieces in all_cuts(stream):
        editor = StreamEditor(COERCE)
        for piece in pieces:
            editor.feed(piece)
        editor.close()
        assert editor.is_whole is whole
        output = editor.take()
        assert bool(output) is whole
        assert (merged(CHAT_COMPLETIONS, stream) == output) if whole else merged(CHAT_COMPLETIONS, stream) is None


def test_an_answer_without_an_event_that_was_too_long_does_not_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a stream that ends properly gives no answer if one of its events could not be read."""
    monkeypatch.setattr(stream_editor, "make_decoder", lambda: sse.Decoder(200))
    stream = event(chunk("a")) + event(chunk("b" * 300)) + FINISHED + DONE
    for pieces in all_cuts(stream):
        editor = StreamEditor(COERCE)
        for piece in pieces:
            editor.feed(piece)
        editor.close()
        assert (editor.has_gap, editor.is_whole, editor.take()) == (True, False, b"")
    assert merged(CHAT_COMPLETIONS, stream) is None
    assert not StreamEditor(GUARD).has_gap


def test_chunks_with_one_line_end_between_are_all_merged() -> None:
    """No text is lost if a server separates its events by a single line end."""
    stream = parted(chunk("Hel"), chunk("lo")) + parted(chunk(" wor"), chunk("ld", reason="stop"), "[DONE]")
    for pieces in all_cuts(stream):
        assert json.loads(edited(COERCE, pieces))["choices"][0]["message"]["content"] == "Hello world"


@pytest.mark.parametrize("name", ["JSON", "an error", "a page"])
def test_what_is_no_event_stream_passes(name: str) -> None:
    """JSON or a page has nothing to merge, whatever its label: it passes unchanged and without delay."""
    body = STREAMS[name]
    for pieces in all_cuts(body):
        editor = StreamEditor(COERCE)
        output = b""
        for piece in pieces:
            editor.feed(piece)
            output += editor.take()
        assert output == body
        editor.close()
        assert (editor.passes, editor.is_whole, editor.take()) == (True, True, b"")
    assert merged(CHAT_COMPLETIONS, body) == body


@pytest.mark.parametrize(
    ("label", "expected"), [("text/event-stream", False), ("application/json", True), (None, True)]
)
@pytest.mark.parametrize("body", [b"", b"\n\n"])
def test_of_nothing_the_label_decides(body: bytes, label: str | None, expected: bool) -> None:
    """An empty body is an event stream without an end if labelled so, and otherwise passes."""
    editor = StreamEditor(COERCE, label)
    editor.feed(body)
    editor.close()
    assert (editor.passes, editor.is_whole, editor.take()) == (expected, expected, body if expected else b"")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (chunk(""), False),
        ({"choices": [{"delta": {"role": "assistant", "content": None, "tool_calls": []}}]}, False),
        ({"choices": []}, False),
        ({"type": "ping"}, False),
        (chunk("a"), True),
        ({"choices": [{"delta": {"reasoning_content": "a"}}]}, True),
        ({"choices": [{"delta": {"tool_calls": [{"id": "x"}]}}]}, True),
        ({"choices": [{"message": {"content": "a"}}]}, True),
        (chunk(reason="stop"), True),
    ],
)
def test_when_there_is_content(value: object, expected: bool) -> None:
    """An answer begins with its first text, call or reason, not with a chunk that only has the role."""
    editor = StreamEditor(COERCE)
    editor.feed(event(value))
    assert editor.has_content is expected


def test_the_error_of_a_stream() -> None:
    """The error that ends a stream is reported immediately; one in a choice only until there is content."""
    in_choice = {"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "broke"}}]}
    for before, value, message in (
        (HELLO, {"error": {"message": "broke", "code": 429}}, "broke"),
        (event(chunk("")), in_choice, "broke"),
        (HELLO, in_choice, None),
        (HELLO + DONE, {"error": "broke"}, None),
    ):
        editor = StreamEditor(COERCE)
        editor.feed(before + event(value))
        assert (editor.error and editor.error.message) == message


def test_half_a_surrogate_pair_comes_out_escaped() -> None:
    """A text that UTF-8 cannot encode is still an answer with the same text."""
    stream = b'data: {"choices": [{"delta": {"content": "\\ud83d"}, "finish_reason": "stop"}]}\n\n'
    assert json.loads(edited(COERCE, [stream]))["choices"][0]["message"]["content"] == "\ud83d"


def test_texts_of_another_face_are_not_merged() -> None:
    """Text added by an event of another face is not added to this answer, even the second time."""
    editor = StreamEditor(COERCE)
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
    editor.feed(HELLO + event(delta) + event(delta) + DONE)
    editor.close()
    assert json.loads(editor.take()) == merge_events(decoded([HELLO + DONE]))

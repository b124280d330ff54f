"""How the editor ends a looping stream, and that no byte is lost if the editor fails."""

import json
from collections.abc import Callable

import pytest

from moonpalace_addons.wire import sieve, sse
from moonpalace_addons.wire.chat.event_data import DataReader
from moonpalace_addons.wire.chat.merging import Merger
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS, ChatCompletions, ChatProgress
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from moonpalace_addons.wire.loops.repeat import Loop
from tests.wire.chat.editing import (
    DONE,
    GUARD,
    HELLO,
    PLANS,
    USAGE,
    all_cuts,
    chunk,
    edited,
    event,
    make_guard,
    parted,
)


def read(stream: bytes) -> list[object]:
    """Read a stream strictly by the standard: an event without a blank line does not count."""
    events = sse.Decoder().feed(stream)
    return [item.data if item.data == "[DONE]" else json.loads(item.data) for item in events]


def final(index: int) -> dict[str, object]:
    choice = {"index": index, "delta": {}, "finish_reason": "repeat"}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "k", "choices": [choice]}


FIRST, FIRING, LATER = chunk("a"), chunk("LOOP"), chunk("never sent")
LOOPS: dict[str, tuple[list[dict[str, object]], list[int]]] = {
    "one choice": ([FIRST, FIRING], [0]),
    "at once": ([FIRING], [0]),
    "reasons that are empty texts": ([chunk("a", reason=""), chunk("LOOP", reason="")], [0]),
    "two open choices": ([FIRST, chunk("b", index=1), FIRING], [0, 1]),
    "one finished": ([chunk("b", index=1, reason="stop"), FIRING], [0]),
    "finished and named again": ([chunk("b", index=1, reason="stop"), chunk("", index=1), FIRING], [0]),
    "a choice not yet seen": ([FIRST, chunk("LOOP", index=2)], [0, 2]),
    "a loop that ends by itself": ([FIRST, chunk("LOOP", reason="stop")], []),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("plan", ["guard", "both"])
@pytest.mark.parametrize("name", LOOPS)
def test_loop_ends_the_stream(name: str, plan: str, end: str) -> None:
    """After the loop's event come a reason for every open choice and [DONE], and nothing else from upstream."""
    before, open_choices = LOOPS[name]
    sent = b"".join(event(value, end) for value in before)
    expected = [*before, *(final(index) for index in open_choices), "[DONE]"]
    for pieces in all_cuts(sent + event(LATER, end) + DONE):
        output = edited(PLANS[plan], pieces)
        assert output.startswith(sent)
        assert read(output) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("plan", ["guard", "both"])
def test_loop_where_events_are_parted_by_one_line_end(plan: str, end: str) -> None:
    """The loop is detected; the stream ends with events that all clients can read, and nothing of the next one."""
    sent = parted(chunk("a"), FIRING, end=end).removesuffix(end.encode())
    stream = sent + parted(LATER, "[DONE]", end=end)
    for pieces in all_cuts(stream):
        output = edited(PLANS[plan], pieces)
        assert output.startswith(sent)
        assert read(output[len(sent) :]) == [final(0), "[DONE]"]
        assert output[len(sent) :].startswith(b"\n\n")


def test_nothing_is_read_after_a_loop() -> None:
    """Data after the end neither passes nor changes the result."""
    editor = StreamEditor(GUARD)
    editor.feed(event(FIRING) + event(LATER))
    found = editor.found
    assert found is not None
    assert (found.place, found.loop) == ("choice 0, content", Loop("period", 4, 4, "LOOP"))
    editor.take()
    editor.feed(event(chunk("LOOP", index=1)) + DONE)
    editor.close()
    assert editor.take() == editor.rest() == b""
    assert editor.found is found


def test_loop_in_an_event_without_its_end_is_left_alone() -> None:
    """A loop cut by upstream's own end needs no interruption: bytes after half an event would corrupt it."""
    stream = event(FIRST) + event(FIRING).rstrip(b"\n")
    editor = StreamEditor(GUARD)
    editor.feed(stream)
    editor.close()
    assert (editor.take(), editor.found) == (stream, None)


@pytest.mark.parametrize("name", LOOPS)
def test_coerced_loop_is_a_complete_answer(name: str) -> None:
    """A merged answer with a loop gives the completion so far, immediately, with open choices finished by repeat."""
    before, open_choices = LOOPS[name]
    stream = b"".join(map(event, before)) + event(LATER) + DONE
    for pieces in all_cuts(stream):
        editor = StreamEditor(Plan(CHAT_COMPLETIONS, coerce=True, make_guard=make_guard))
        output = b""
        for piece in pieces:
            editor.feed(piece)
            output += editor.take()
        assert editor.found is not None
        merger = Merger()
        for value in [*before, *(final(index) for index in open_choices)]:
            merger.feed(value)
        assert json.loads(output) == merger.result()
        editor.close()
        assert editor.take() == b""


# ---- faults -------------------------------------------------------------------------------------------------------


class BrokeError(Exception):
    """The exception that these tests raise."""


def broken(*_: object, **__: object) -> object:
    raise BrokeError


def fails_at(number: int, original: Callable[..., object]) -> Callable[..., object]:
    """Return a function that only fails at one call."""
    calls = iter(range(1000))

    def call(*args: object, **options: object) -> object:
        return broken() if next(calls) == number else original(*args, **options)

    return call


STAGES = [
    (sse.Decoder, "feed"),
    (sse.Decoder, "close"),
    (LoopGuard, "feed"),
    (Merger, "feed"),
    (DataReader, "read"),
    (ChatProgress, "feed"),
    (ChatProgress, "ending"),
    (sieve.Sieve, "feed"),
    (ChatCompletions, "write_events"),
    (StreamEditor, "take"),
]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("owner", "name"), STAGES)
@pytest.mark.parametrize("plan", ["guard", "hide", "both"])
def test_rest_knows_every_byte(
    monkeypatch: pytest.MonkeyPatch, plan: str, owner: object, name: str, number: int
) -> None:
    """Whatever stage fails at any time: the output and the rest together are the input, each byte once."""
    stream = HELLO + b": hb\n\n" + event(USAGE)[:20]
    more = event(USAGE)[20:] + event(chunk("b", index=1)) + event(chunk("LOOP")) + event(LATER)
    monkeypatch.setattr(owner, name, fails_at(number, getattr(owner, name)))
    editor = StreamEditor(PLANS[plan])
    output = fed = b""
    try:
        for piece in [stream[:30], stream[30:], more[:100], more[100:]]:
            fed += piece
            editor.feed(piece)
            output += editor.take()
        editor.close()
        output += editor.take()
    except BrokeError:
        got = (output + editor.rest()).replace(event(USAGE), b"")
        if editor.found is None:
            assert got == fed.replace(event(USAGE), b"")
        else:
            assert name == "take"
            assert read(got)[-2:] == [final(1), "[DONE]"]
    else:
        assert editor.found is not None or plan == "hide"

"""Events read together give the same result as events read one by one."""

import json
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat import stream_editor
from moonpalace_addons.wire.chat.event_data import make_decoder, read_data
from moonpalace_addons.wire.chat.merging import DONE, Merger
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.loops.loop_guard import FoundLoop, LoopGuard
from moonpalace_addons.wire.loops.repeat import Detector


def make_guard() -> LoopGuard:
    return LoopGuard(CHAT_COMPLETIONS, lambda: Detector(0.5, 100))


def chunk(text: str, channel: str = "content", **more: object) -> dict[str, object]:
    return {"id": "c1", "choices": [{"index": 0, "delta": {channel: text}, "finish_reason": None}]} | more


def event(value: object, end: str = "\n", *, plain: bool = False) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=plain)
    return f"data: {text}{end}{end}".encode("utf-8", "surrogatepass")


def rewritten(old: bytes, new: bytes) -> bytes:
    return event(chunk("TEXT")).replace(old, new)


USAGE = event({"id": "c1", "choices": [], "usage": {"total_tokens": 9}})
ODD = [
    event(chunk("another channel", "reasoning_content")),
    event(chunk("another call", id="c2")),
    event(chunk("CRLF"), "\r\n"),
    event(chunk("CR"), "\r"),
    event(chunk("half \ud83d"), plain=True),
    event(chunk("half \ud83d")),
    event(chunk("parted")).removesuffix(b"\n") + event(chunk(" by one line end")),
    event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]}),
    rewritten(b"TEXT", b"\xff\xfe"),
    rewritten(b"TEXT", b'a", "b'),
    rewritten(b"TEXT", b'a","role":"user'),
    rewritten(b"TEXT", b"a\nb"),
    rewritten(b'"TEXT"', b'\n"a"'),
    rewritten(b'"TEXT"', b'\r"a"'),
    rewritten(b'"TEXT"', b'"a'),
    rewritten(b'"TEXT"', b'b"'),
    rewritten(b'"TEXT"', b'"c","d"'),
    rewritten(b'"TEXT"', b'\t"e" '),
    rewritten(b'"TEXT"', b"null"),
    rewritten(b"data: ", b"data:"),
    rewritten(b"data: ", b": hb\ndata: "),
    rewritten(b"data: ", b"id: 7\ndata: "),
    rewritten(b"data: ", b"event: ping\ndata: "),
    rewritten(b"data: ", b"\n\n: hb\n\ndata: "),
    USAGE,
    event(DONE),
]
LOOPING = [f"{word} " for word in ("round", "goes", "the", "wheel", "of", "the", "mill", "by", "the brook\n")] * 12


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Return a stream of texts with occasional odd events; it may contain a loop."""
    texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=12)
    events = [event(chunk(text)) for text in ["a", *draw(texts), *(LOOPING if draw(st.booleans()) else ()), "b"]]
    for odd in draw(st.lists(st.sampled_from(ODD), max_size=4)):
        events.insert(draw(st.integers(0, len(events))), odd)
    return b"".join(events)


def pieces(stream: bytes, author: Random) -> list[bytes]:
    """Return the stream in pieces that end anywhere, or at events, as they mostly do."""
    ends = [at + 2 for at in range(len(stream)) if stream.startswith(b"\n\n", at)]
    places = ends if author.random() < 0.5 else range(len(stream))
    cuts = sorted({0, len(stream), *author.sample(places, min(len(places), author.choice([0, 1, 3, 10])))})
    return [stream[start:end] for start, end in pairwise(cuts)]


def merged_one_by_one(stream: bytes, guard: LoopGuard | None = None) -> tuple[dict[str, object], FoundLoop | None, int]:
    """Return the result of merging parsed events up to a loop, the loop, and the end of its event."""
    merger = Merger()
    for item in make_decoder().feed(stream):
        for value, error in read_data(item).values:
            merger.feed(value, error)
            if guard is not None and (found := guard.feed(value)):
                return merger.result(), found, item.end
    return merger.result(), None, len(stream)


def check_cut(parts: list[bytes]) -> None:
    """Check that a stream in pieces is cut at the event that completes the loop, and is unchanged up to there."""
    stream = b"".join(parts)
    _, found, end = merged_one_by_one(stream, make_guard())
    editor = StreamEditor(Plan(CHAT_COMPLETIONS, make_guard=make_guard))
    output = b""
    for part in parts:
        editor.feed(part)
        output += editor.take()
    assert (editor.found, editor.passed) == (found, end)
    assert output == stream if found is None else output.startswith(stream[:end])


def check_merged(parts: list[bytes]) -> None:
    """Check that a stream in pieces merges to the same, if there is an answer."""
    editor = StreamEditor(Plan(CHAT_COMPLETIONS, coerce=True))
    for part in parts:
        editor.feed(part)
    if not editor.is_odd:
        assert editor._merger is not None
        assert editor._merger.result() == merged_one_by_one(b"".join(parts))[0]


@given(stream=streams(), author=st.randoms(use_true_random=False))
def test_a_stream_in_pieces(stream: bytes, author: Random) -> None:
    """However a stream is cut into pieces, it ends at the same event, merges to the same, and only usage is hidden."""
    parts = pieces(stream, author)
    check_cut(parts)
    check_merged(parts)
    editor = StreamEditor(Plan(CHAT_COMPLETIONS, hide_usage=True))
    for part in parts:
        editor.feed(part)
    editor.close()
    assert editor.take() == stream.replace(USAGE, b"")


@pytest.mark.parametrize("odd", ODD)
def test_something_odd_among_what_is_alike(odd: bytes) -> None:
    """An event that differs from the others is parsed, even among them."""
    before, after = event(chunk("a")) + event(chunk("b")), event(chunk("c"))
    for parts in ([before, after + odd + after], [before, odd + after], [before + odd + after]):
        check_merged(parts)
        check_cut([*parts, b"".join(event(chunk(text)) for text in LOOPING)])


@pytest.mark.parametrize("begun", [b": comment ", b"data: x\n", b"x", b"event: x\ndata: {\n", b"data: {}\r\r"])
def test_what_seems_to_begin_an_event(begun: bytes) -> None:
    """Bytes that look like complete events do not count within a line or event that began before."""
    alike = event(chunk("a"))
    parts = [alike, begun, alike + event(chunk("b")), event(chunk("c"))[:-2], b"\n", b"\n"]
    check_merged(parts)
    check_cut([*parts, *(event(chunk(text)) for text in LOOPING)])


def test_the_name_of_an_event_holds_for_one_that_is_alike() -> None:
    """An event with a name differs from the others, even if its data is similar."""
    editor = StreamEditor(Plan(CHAT_COMPLETIONS, coerce=True))
    for part in [event(chunk("")), b"event: error\n", event(chunk("a"))]:
        editor.feed(part)
    assert editor.error is not None


def test_all_but_the_first_event_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a read with many ordinary events only the first and the last ones are decoded one by one."""
    decoded: list[int] = []
    feed = sse.Decoder.feed

    def count(decoder: sse.Decoder, data: bytes) -> list[sse.Event]:
        events = feed(decoder, data)
        decoded.append(len(events))
        return events

    monkeypatch.setattr(sse.Decoder, "feed", count)
    stream = b"".join(event(chunk(f"{number} ")) for number in range(100)) + USAGE + event(DONE)
    editor = StreamEditor(Plan(CHAT_COMPLETIONS, make_guard=make_guard))
    editor.feed(stream)
    assert (editor.take(), sum(decoded), editor.is_done) == (stream, 3, True)
    assert editor.has_content


def test_an_event_that_is_too_long_is_not_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit for an event also applies to similar ones."""
    monkeypatch.setattr(stream_editor, "make_decoder", lambda: sse.Decoder(200))
    editor = StreamEditor(Plan(CHAT_COMPLETIONS, coerce=True))
    editor.feed(event(chunk("a")))
    editor.feed(event(chunk("b" * 300)))
    assert editor.has_gap

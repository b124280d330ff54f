"""Tests of the timeline as text."""

import json

from moonpalace_addons.live.call_text import MAX_LINES, timeline_lines
from moonpalace_addons.views.chat_text import plain_text
from moonpalace_addons.views.timeline import moments

MS = 10**6


def stream(*texts: str) -> tuple[bytes, list[tuple[int, int]], str]:
    """Return events with these texts and times for a path: 20 ms apart, the last one later."""
    events = [f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n".encode() for text in texts]
    ends = [sum(map(len, events[: place + 1])) for place in range(len(events))]
    times = [20 * MS * place for place in range(len(events))]
    times[-1] += 400 * MS
    return b"".join(events), list(zip(ends, times, strict=True)), "/v1/chat/completions"


def test_events_are_lines() -> None:
    """Each event has its number, its time, its gap, its kind and its text; the longest gap is marked."""
    assert plain_text(timeline_lines(moments(*stream("Hi", "a\nb", "你好")))).split("\n") == [
        "── 3 events, longest stall 420ms before event 3",
        '            1            0us          content          "Hi"',
        '            2           20ms    20ms  content          "a\\nb"',
        '            3          440ms   420ms< content          "你好"',
    ]


def test_without_times() -> None:
    """A stream without recorded times is still listed."""
    assert plain_text(timeline_lines(moments(stream("Hi")[0], (), "/v1/chat/completions"))).split("\n") == [
        "── 1 event",
        '            1                         content          "Hi"',
    ]


def test_long_texts_and_streams_are_cut() -> None:
    """A long text ends in an ellipsis; of many lines the first are shown, with the total."""
    assert plain_text(timeline_lines(moments(*stream("x" * 200)))).endswith("xxx…")
    even = moments(*stream(*["x"] * (MAX_LINES + 10)))
    shown = plain_text(timeline_lines(even, is_cut=True)).split("\n")
    assert shown[0].startswith(f"── the first {MAX_LINES + 10} events")
    assert len(shown) <= MAX_LINES + 2


def test_only_the_first_are_read() -> None:
    """A limit stops the reading."""
    data, times, path = stream(*"abcdef")
    assert [moment.text for moment in moments(data, times, path, 2)] == ["a", "b"]

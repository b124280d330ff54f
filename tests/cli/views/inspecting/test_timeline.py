"""Tests of the timeline of a stream, and of its table."""

import json
from collections.abc import Callable

import pytest
from wcwidth import wcswidth

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_addons.views import timeline
from moonpalace_addons.views.timeline import Moment, moments, runs
from moonpalace_cli.views.inspecting import timeline_table

MS = 10**6


def event(content: str, **more: object) -> bytes:
    """Return an event with this content."""
    return (
        f"data: {json.dumps({'choices': [{'delta': {'content': content}, **more}]}, ensure_ascii=False)}\n\n".encode()
    )


EVENTS = [event("Hi"), event("你好"), event("!", finish_reason="stop"), b"data: [DONE]\n\n"]


def chunked(*parts: bytes, start: int = 20, step: int = 10) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a stream of chunks that come at even times, in milliseconds."""
    chunks, end = [], 0
    for number, part in enumerate(parts):
        end += len(part)
        chunks.append((end, (start + number * step) * MS))
    return b"".join(parts), chunks


def moments_of(stream: bytes, chunks: list[tuple[int, int]], path: str = "/v1/chat/completions") -> list[Moment]:
    """Return the events of a stream of a face."""
    return moments(stream, chunks, path)


def test_the_face_decides() -> None:
    """At an unknown path the events decide the face, and an event of another one is only named."""
    said = [{"type": "content_block_delta", "delta": {"text": "Hi"}}, {"choices": [{"delta": {"content": "Ho"}}]}]
    stream = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in said)
    assert [(each.kind, each.text) for each in moments(stream, [], "/x")] == [("content", "Hi"), ("empty", "")]
    assert [(each.kind, each.text) for each in moments_of(stream, [])] == [("empty", ""), ("content", "Ho")]


def test_events_come_with_the_chunk_that_ends_them() -> None:
    """An event arrives with the chunk that has its last byte, wherever the chunks are cut."""
    first, second, third, done = EVENTS
    result = moments_of(*chunked(first[:5], first[5:] + second + third[:3], third[3:], done))
    assert [(moment.number, moment.at, moment.gap) for moment in result] == [
        (1, 30 * MS, None),
        (2, 30 * MS, 0),
        (3, 40 * MS, 10 * MS),
        (4, 50 * MS, 10 * MS),
    ]
    assert [moment.kind for moment in result] == ["content", "content", "content+finish", "done"]
    assert sum(moment.size for moment in result) == len(b"".join(EVENTS))


def test_without_times() -> None:
    """Without times, the events are still shown."""
    result = moments_of(b"".join(EVENTS), [])
    assert [(moment.at, moment.gap) for moment in result] == [(None, None)] * 4
    assert timeline.longest(result) is None


def test_a_stream_that_broke_off() -> None:
    """The incomplete last event is included; an empty stream has no events."""
    stream, chunks = chunked(EVENTS[0], b'data: {"choi')
    assert [moment.kind for moment in moments_of(stream, chunks)] == ["content", "not JSON"]
    assert moments_of(b"", []) == []


def spaced(*gaps: int, kinds: str = "") -> list[Moment]:
    """Return events with these gaps in milliseconds; `kinds` has a letter for each event."""
    at, found = 0, []
    for number, gap in enumerate((0, *gaps), 1):
        at += gap * MS
        kind = kinds[number - 1] if kinds else "c"
        found.append(Moment(number, at, gap * MS if number > 1 else None, 10, kind, str(number)))
    return found


def spans(found: list[timeline.Run]) -> list[tuple[int, int]]:
    """Return the first and last numbers of runs."""
    return [(run.first.number, run.last.number) for run in found]


def test_short_streams_are_shown_event_by_event() -> None:
    """Up to forty events have a line each; so does any number on request."""
    assert len(runs(spaced(*[1] * 39))) == 40
    assert len(runs(spaced(*[1] * 99), every=True)) == 100


def test_long_streams_are_summed_up() -> None:
    """Similar events are one line, and each of the longest gaps begins a new one."""
    result = spaced(*[1] * 49, 500, *[1] * 20, 300, *[1] * 29, kinds="r" + "c" * 99 + "f")
    lines = runs(result)
    assert (1, 1) in spans(lines)
    assert (101, 101) in spans(lines)
    assert {51, 72} <= {run.first.number for run in lines}
    assert [number for run in lines for number in (moment.number for moment in run.moments)] == list(range(1, 102))
    assert timeline.longest(result) == result[50]


def test_even_gaps_are_no_stalls() -> None:
    """In a stream without pauses all events of a kind are one line."""
    assert spans(runs(spaced(*[0] * 99))) == [(1, 100)]


TABLE = """\
call 1: 4 events in 51ms, first token after 20ms, longest stall 10ms before event 2
+-------+-------+-------+--------------------+-------+----------------+-----------+
| event | time  | gap   |                    | bytes | kind           | data      |
+-------+-------+-------+--------------------+-------+----------------+-----------+
|       | 1.2ms |       |                    |       | headers        | 200       |
| 1     | 20ms  |       |                    | 51    | content        | "Hi"      |
| 2     | 30ms  | 10ms  | ########## longest | 55    | content        | "你好"    |
| 3     | 40ms  | 10ms  | ##########         | 75    | content+finish | "! stop"  |
| 4     | 50ms  | 10ms  | ##########         | 14    | done           |           |
|       | 51ms  | 1.0ms | #                  |       | end            | timed out |
+-------+-------+-------+--------------------+-------+----------------+-----------+"""


def ended(exchange: Callable[..., Exchange], **more: int) -> Exchange:
    """Return a streamed call that timed out."""
    times = {"time_to_first_token": 20 * MS, "latency": 51 * MS, "longest_stall": 10 * MS} | more
    return exchange(**times, state=State.TIMED_OUT, error_message="timed out")


def test_table(exchange: Callable[..., Exchange]) -> None:
    """The table has headers, events with bars for their gaps, and the end; the longest gap is named."""
    result = moments_of(*chunked(*EVENTS))
    text = timeline_table.table(ended(exchange), result, runs(result), None, blocks=False, colour=False)
    assert text == TABLE


def test_the_silence_before_the_end_is_a_gap(exchange: Callable[..., Exchange]) -> None:
    """If the silence before the end is the longest, it is the longest stall."""
    result = moments_of(*chunked(*EVENTS))
    text = timeline_table.table(
        ended(exchange, latency=90 * MS), result, runs(result), None, blocks=False, colour=False
    )
    assert "longest stall 40ms before the end" in text
    (end,) = (line for line in text.split("\n") if " end " in line and "longest" in line and line.startswith("|"))
    assert "40ms" in end
    assert text.count("longest") == 2


def test_a_stream_that_was_not_kept_to_its_end(exchange: Callable[..., Exchange]) -> None:
    """No silence is made of what was not kept."""
    result = moments_of(*chunked(*EVENTS))
    given = ended(exchange, latency=90 * MS)._replace(longest_stall=None)
    text = timeline_table.table(given, result, runs(result), None, blocks=False, colour=False)
    assert "before the end" not in text


@pytest.mark.parametrize("width", [72, 80, 100, 200])
@pytest.mark.parametrize("colour", [True, False])
def test_table_fits_the_terminal(exchange: Callable[..., Exchange], width: int, colour: bool) -> None:
    """At any width, all lines are as wide as the table, and no wider than the terminal."""
    stream, chunks = chunked(*[event("很长的内容 \x1b[31m" * 20) for _ in range(60)], step=700)
    result = moments_of(stream, chunks)
    text = timeline_table.table(ended(exchange), result, runs(result), width, blocks=True, colour=colour)
    assert ("\x1b[31m" in text) is colour
    lines = [line for line in text.split("\n") if line.startswith(("|", "+"))]
    widths = {wcswidth(line.replace("\x1b[31m", "").replace("\x1b[0m", "")) for line in lines}
    assert len(widths) == 1
    assert widths.pop() <= width
    assert ("<<" in text) is (width < 100)


def test_json(exchange: Callable[..., Exchange]) -> None:
    """JSON has every event with its whole text, times in milliseconds."""
    lines = list(timeline_table.json_lines(moments_of(*chunked(*EVENTS))))
    assert json.loads(lines[1]) == {
        "event": 2,
        "at_ms": 30.0,
        "gap_ms": 10.0,
        "bytes": 55,
        "kind": "content",
        "text": "你好",
    }
    assert len(lines) == 4
    assert json.loads(next(timeline_table.json_lines(moments_of(EVENTS[0], []))))["at_ms"] is None


def test_unknown_times_are_said(exchange: Callable[..., Exchange]) -> None:
    """A stream without times says so instead of showing none."""
    result = moments_of(EVENTS[0], [])
    text = timeline_table.table(exchange(), result, runs(result), None, blocks=True, colour=False)
    assert text.split("\n")[0].endswith("the times were not kept")

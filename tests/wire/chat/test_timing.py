"""Timing: only what follows from the times of the chunks."""

from functools import partial
from typing import Any

import pytest

from moonpalace_addons.wire.chat import timing as timings
from moonpalace_addons.wire.chat.timing import Timing
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from tests.tables import for_each

type Json = dict[str, Any]

MS = 1_000_000
measure = partial(timings.measure, token_channel=CHAT_COMPLETIONS.token_channel)


def delta(**fields: object) -> Json:
    return {"choices": [{"index": 0, "delta": fields}]}


ROLE, REASONING, CONTENT = delta(role="assistant", content=""), delta(reasoning_content="hm"), delta(content="x")
USAGE: Json = {"choices": [], "usage": {"completion_tokens": 5}}


def stream(*timed: tuple[int, object], tokens: int | None = 5, start: int = 1000 * MS) -> Timing:
    """Measure a stream whose chunks of ten bytes arrive at these milliseconds, with one event each.

    A chunk with None has no event.
    """
    chunks = [(10 * (number + 1), start + at * MS) for number, (at, _) in enumerate(timed)]
    events = [(10 * (number + 1), value) for number, (_, value) in enumerate(timed) if value is not None]
    ended = chunks[-1][1] if chunks else start
    return measure(start, start + MS, ended, chunks, events, tokens, True)


def test_a_stream() -> None:
    """Every number of a stream follows from its formula."""
    timing = stream((10, ROLE), (30, REASONING), (50, CONTENT), (80, CONTENT), (130, CONTENT), (150, USAGE))
    assert timing == Timing(
        time_to_headers=MS,
        time_to_first_token=30 * MS,
        time_to_first_visible_token=50 * MS,
        time_per_output_token=25 * MS,
        output_tokens_per_second=5 * 1_000_000_000 / (130 * MS),
        longest_stall=50 * MS,
        gap_p50=20 * MS,
        gap_p90=50 * MS,
        gap_p99=50 * MS,
    )


def test_an_answer_that_was_not_kept_to_its_end() -> None:
    """Only what came first is known: neither the pace nor how long it was silent."""
    chunks, events = [(10, 20 * MS), (20, 50 * MS)], [(10, REASONING), (20, CONTENT)]
    assert measure(0, MS, None, chunks, events, 5, True) == Timing(MS, 20 * MS, 50 * MS)
    assert measure(0, MS, None, [(10, 20 * MS)], [], 5, False) == Timing(MS)


def test_a_call_without_streaming() -> None:
    """For an answer in one piece only the headers and the mean pace are known."""
    timing = measure(0, 400 * MS, 500 * MS, [(100, 500 * MS)], [], 20, False)
    assert timing == Timing(time_to_headers=400 * MS, output_tokens_per_second=40.0)


def test_nothing_is_guessed() -> None:
    """Without headers, chunks or tokens there are no numbers."""
    assert measure(0, None, 5, [], [], None, True) == Timing()
    assert measure(0, None, 5, [], [], 7, True) == Timing()
    assert measure(0, None, 5, [], [(10, CONTENT)], 7, True) == Timing()
    assert measure(0, None, 5, [(3, 1)], [], None, False) == Timing()
    assert measure(5, None, 5, [], [], 7, False) == Timing()


@pytest.mark.parametrize("tokens", [None, 0, 1])
def test_pace_needs_two_tokens(tokens: int | None) -> None:
    """A time per token needs two tokens; tokens per second need a number of tokens."""
    timing = stream((10, CONTENT), (20, CONTENT), tokens=tokens)
    assert timing.time_per_output_token is None
    assert timing.output_tokens_per_second == (None if tokens is None else tokens * 1_000_000_000 / (20 * MS))


def test_tokens_that_came_at_one_instant_have_no_pace() -> None:
    """One token event, or several in one chunk, give no time per token."""
    assert stream((10, CONTENT), (20, USAGE)).time_per_output_token is None
    timing = measure(0, 1, 9, [(100, 9)], [(30, CONTENT), (60, CONTENT), (90, USAGE)], 5, True)
    assert (timing.time_to_first_token, timing.time_per_output_token, timing.longest_stall) == (9, None, None)


def test_an_event_arrives_with_the_chunk_that_completes_it() -> None:
    """An event that ends within a chunk, at its last byte or in a later one has that chunk's time."""
    chunks = [(10, 100), (10, 150), (20, 200), (30, 300)]
    for end, time in [(1, 100), (10, 100), (11, 200), (20, 200), (21, 300), (30, 300), (31, 300)]:
        assert measure(0, None, 999, chunks, [(end, CONTENT)], None, True).time_to_first_token == time, end


def test_gaps_lie_between_chunks_with_events() -> None:
    """Chunks that complete no event, such as heartbeats, neither end a gap nor count as one."""
    timing = stream((0, CONTENT), (40, None), (100, CONTENT), (110, None), (120, USAGE))
    assert (timing.longest_stall, timing.gap_p50, timing.gap_p90) == (100 * MS, 20 * MS, 100 * MS)


@pytest.mark.parametrize(("ended", "stall"), [(120, 100), (3120, 3000)])
def test_the_silence_before_the_end_counts(ended: int, stall: int) -> None:
    """The silence before a stream is given up counts as a stall."""
    chunks = [(10, 20 * MS), (20, 120 * MS)]
    timing = measure(0, MS, ended * MS, chunks, [(10, CONTENT), (20, CONTENT)], None, True)
    assert (timing.longest_stall, timing.gap_p99) == (stall * MS, 100 * MS)
    assert measure(0, MS, 3001 * MS, [], [], None, True).longest_stall == 3000 * MS
    assert measure(0, MS, 3001 * MS, [(10, MS)], [], None, False).longest_stall is None


def test_percentiles() -> None:
    """A percentile is the smallest gap that this percentage of the gaps does not exceed."""
    at, timed = 0, [(0, CONTENT)]
    for gap in range(100, 0, -1):
        at += gap
        timed.append((at, CONTENT))
    timing = stream(*timed)
    assert (timing.gap_p50, timing.gap_p90, timing.gap_p99, timing.longest_stall) == (
        50 * MS,
        90 * MS,
        99 * MS,
        100 * MS,
    )


def test_pace_is_rounded_down() -> None:
    """A time per token is a whole number of nanoseconds, rounded down."""
    timing = measure(0, None, 9, [(1, 1), (2, 9)], [(1, CONTENT), (2, CONTENT)], 4, True)
    assert timing.time_per_output_token == 2


CHANNELS: dict[str, tuple[object, str | None]] = {
    "content": (CONTENT, "visible"),
    "reasoning": (REASONING, "reasoning"),
    "reasoning by another name": (delta(reasoning="x"), "reasoning"),
    "reasoning in details": (delta(content="", reasoning_details=[{"text": "x"}]), "reasoning"),
    "reasoning in parts": (delta(content=[{"type": "thinking", "thinking": []}]), "reasoning"),
    "reasoning and text in parts": (delta(content=[{"type": "thinking"}, {"type": "text", "text": "x"}]), "visible"),
    "audio": (delta(audio={"data": "QUFB"}), "visible"),
    "the input of a custom tool": (delta(tool_calls=[{"index": 0, "custom": {"input": "x"}}]), "visible"),
    "arguments as an object": (delta(tool_calls=[{"function": {"arguments": {"x": 1}}}]), "visible"),
    "refusal": (delta(refusal="x"), "visible"),
    "both": (delta(reasoning_content="x", content="y"), "visible"),
    "in another choice": ({"choices": [{"delta": {}}, {"delta": {"content": "x"}}]}, "visible"),
    "the name of a tool": (delta(tool_calls=[{"function": {"name": "f", "arguments": ""}}]), "visible"),
    "the arguments of a tool": (delta(tool_calls=[None, {"index": 1, "function": {"arguments": "{"}}]), "visible"),
    "a function call": (delta(function_call={"arguments": "{"}), "visible"),
    "a message": ({"choices": [{"message": {"content": "x"}}]}, "visible"),
    "a role": (ROLE, None),
    "nulls": (delta(content=None, reasoning_content=None, tool_calls=None, function_call=None), None),
    "empty texts": (
        delta(content="", reasoning_content="", tool_calls=[{"id": "a", "function": {"arguments": ""}}]),
        None,
    ),
    "numbers": (delta(content=5, refusal=True, tool_calls=[3]), None),
    "a finish": ({"choices": [{"delta": {}, "finish_reason": "stop"}]}, None),
    "usage": (USAGE, None),
    "no delta": ({"choices": [{"delta": None}, {}, 3]}, None),
    "no choices": ({"choices": None}, None),
    "no object": ([CONTENT], None),
    "nothing": (None, None),
    "done": ("[DONE]", None),
}


@for_each("name", CHANNELS)
def test_channels(name: str) -> None:
    """Text of any channel is a token; only reasoning is not visible."""
    chunk, expected = CHANNELS[name]
    assert CHAT_COMPLETIONS.token_channel(chunk) == expected

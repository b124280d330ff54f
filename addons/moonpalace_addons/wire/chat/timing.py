"""Compute the timing of a call from the arrival times of its chunks.

All times are whole nanoseconds of one monotonic clock. An event arrives with the chunk that contains the byte that
completes it. A token event is one whose delta has something in any channel: content, reasoning, refusal, audio, images,
or the name or arguments of a tool or function call; it is visible unless all of it is reasoning.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

_SECOND = 1_000_000_000


class Timing(NamedTuple):
    """Hold the timing of one call: nanoseconds, but tokens per second. What the data does not tell is None.

    time_to_headers              headers - started
    time_to_first_token          first token event - started; of streams only
    time_to_first_visible_token  first visible token event - started; of streams only
    time_per_output_token        (last token event - first token event) / (completion_tokens - 1), rounded down; of
                                 streams only, with two tokens or more that did not all come at one instant
    output_tokens_per_second     streams: completion_tokens / (last token event - started);
                                 other calls: completion_tokens / (ended - started)
    longest_stall                longest gap, or the silence before the end of a stream, if that was longer; a gap lies
                                 between two successive chunks that completed events
    gap_p50, gap_p90, gap_p99    the smallest gap that at least so many percent of the gaps do not exceed
    """

    time_to_headers: int | None = None
    time_to_first_token: int | None = None
    time_to_first_visible_token: int | None = None
    time_per_output_token: int | None = None
    output_tokens_per_second: float | None = None
    longest_stall: int | None = None
    gap_p50: int | None = None
    gap_p90: int | None = None
    gap_p99: int | None = None


def measure(
    started: int,
    headers: int | None,
    ended: int | None,
    chunks: Sequence[tuple[int, int]],
    events: Sequence[tuple[int, object]],
    completion_tokens: int | None,
    streamed: bool,
    token_channel: Callable[[object], str | None],
) -> Timing:
    """Return the timing of a call that ran from `started` to `ended`, with its headers at `headers` if they came.

    `ended` is None if the end of the answer was not kept: then only the times of what came first are known.
    `chunks` are (decoded bytes up to and with this chunk, time of arrival) in order; `events` are (`Event.end`, parsed
    JSON of its data) in order. `streamed` says whether the answer came as events, whatever its client asked for.
    `token_channel` returns "visible" or "reasoning" for an event with text.
    """
    to_headers = None if headers is None else headers - started
    if not streamed:
        return Timing(to_headers, output_tokens_per_second=_rate(completion_tokens, started, ended))
    arrivals, tokens, visible = list[int](), list[int](), None
    for arrived, is_first, value in _arrived(chunks, events) if chunks else ():
        if is_first:
            arrivals.append(arrived)
        channel = token_channel(value)
        if channel is not None:
            tokens.append(arrived)
            if visible is None and channel == "visible":
                visible = arrived
    first = tokens[0] - started if tokens else None
    first_visible = None if visible is None else visible - started
    if ended is None:
        return Timing(to_headers, first, first_visible)
    gaps = _gaps(arrivals)
    silence = _silence(headers, ended, arrivals)
    last = tokens[-1] if tokens else None
    return Timing(
        time_to_headers=to_headers,
        time_to_first_token=first,
        time_to_first_visible_token=first_visible,
        time_per_output_token=_time_per_token(tokens, completion_tokens),
        output_tokens_per_second=_rate(completion_tokens, started, last),
        longest_stall=max([*gaps[-1:], *([silence] if silence > 0 else [])], default=None),
        gap_p50=_percentile(gaps, 50),
        gap_p90=_percentile(gaps, 90),
        gap_p99=_percentile(gaps, 99),
    )


def _arrived(
    chunks: Sequence[tuple[int, int]], events: Sequence[tuple[int, object]]
) -> Iterator[tuple[int, bool, object]]:
    """Yield for each event when it arrived, whether it is the first that its chunk completed, and its value."""
    later = iter(chunks)
    offset, arrived = next(later)
    is_first = True
    for end, value in events:
        while offset < end and (chunk := next(later, None)) is not None:
            offset, arrived = chunk
            is_first = True
        yield arrived, is_first, value
        is_first = False


def _time_per_token(tokens: Sequence[int], completion_tokens: int | None) -> int | None:
    if not tokens or completion_tokens is None or completion_tokens <= 1 or tokens[-1] == tokens[0]:
        return None
    return (tokens[-1] - tokens[0]) // (completion_tokens - 1)


def _rate(completion_tokens: int | None, started: int, ended: int | None) -> float | None:
    if completion_tokens is None or ended is None or ended <= started:
        return None
    return completion_tokens * _SECOND / (ended - started)


def _silence(headers: int | None, ended: int, arrivals: Sequence[int]) -> int:
    last = arrivals[-1] if arrivals else headers
    return 0 if last is None else ended - last


def _gaps(times: Sequence[int]) -> list[int]:
    return sorted(later - earlier for earlier, later in pairwise(times))


def _percentile(gaps: Sequence[int], percent: int) -> int | None:
    return gaps[math.ceil(len(gaps) * percent / 100) - 1] if gaps else None


def chunk_at(offsets: Sequence[int], end: int) -> int:
    """Return the index of the chunk with the byte before `end`; `offsets` are the ends of chunks, at least one.

    An end past the last chunk can only come from lost bytes: the last chunk is the nearest.
    """
    return min(bisect_left(offsets, end), len(offsets) - 1)


def chunks_of(ends: Sequence[int], times: Sequence[int]) -> list[tuple[int, int]]:
    """Return chunks in which events with these ends arrive at these times; those of one instant share a chunk."""
    arrived = groupby(zip(ends, times, strict=True), key=lambda each: each[1])
    return [(max(end for end, _ in together), at) for at, together in arrived]

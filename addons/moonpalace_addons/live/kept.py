"""What a flow in the view carries of its call: plain values in its metadata, because flows can be saved to files."""

from array import array
from collections.abc import Sequence
from typing import cast

from mitmproxy.http import HTTPFlow, Message

UUID = "moonpalace_call"
ROW = "moonpalace_row"
COMMENT = "moonpalace_comment"
PRICE = "moonpalace_price"
WARNINGS = "moonpalace_warnings"
TIMES = "moonpalace_times"
CUT = "moonpalace_cut"
"""Keys of metadata. The comment is the one that MoonPalace gave, so that the user's own is not replaced; the bytes that
were cut from the request and from the response are a list of two numbers."""


def set_times(flow: HTTPFlow, times: Sequence[tuple[int, int]]) -> None:
    """Keep when the chunks of an answer came: the offset after each, and nanoseconds since the request began."""
    flow.metadata[TIMES] = array("q", [number for pair in times for number in pair]).tobytes()


def times_of(flow: HTTPFlow) -> tuple[tuple[int, int], ...]:
    """Return what `set_times` kept."""
    numbers = array("q", flow.metadata.get(TIMES, b""))
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def cut_of(flow: HTTPFlow, message: Message) -> int:
    """Return how many bytes of a message are no longer kept in its flow."""
    cut = cast(list[int], flow.metadata.get(CUT, [0, 0]))
    return cut[0] if message is flow.request else cut[1]


def cut_bodies(flow: HTTPFlow, limit: int) -> None:
    """Keep at most the first `limit` bytes of each body; the call must be over, as mitmproxy sends these bodies."""
    cut = list(flow.metadata.get(CUT, [0, 0]))
    for place, message in enumerate((flow.request, flow.response)):
        content = message.raw_content if message is not None else None
        if message is not None and content is not None and len(content) > limit:
            cut[place] += len(content) - limit
            message.data.content = content[:limit]
    if any(cut):
        flow.metadata[CUT] = cut

"""The data that a flow in the view keeps of its call: plain values in its metadata, since flows can be saved to files.

A file may come from elsewhere, so values of an unexpected form count as missing.
"""

import re
from array import array
from collections.abc import Sequence

from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow, Message

UUID = "moonpalace_call"
ROW = "moonpalace_row"
COMMENT = "moonpalace_comment"
PRICE = "moonpalace_price"
WARNINGS = "moonpalace_warnings"
TIMES = "moonpalace_times"
CUT = "moonpalace_cut"
"""Keys of metadata.

The comment is the one that MoonPalace set; it tells it from a comment of the user, which is not replaced. The number of
bytes cut from the request and from the response is a list of two numbers.
"""
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def uuid_of(flow: Flow) -> str:
    """Return the uuid of a flow's call; empty if it has none."""
    uuid = flow.metadata.get(UUID)
    return uuid if isinstance(uuid, str) and _UUID.fullmatch(uuid) else ""


def row_of(flow: Flow) -> int | None:
    """Return the number of the row of a flow's call; in a file from elsewhere it is that of another store."""
    row = flow.metadata.get(ROW)
    return row if type(row) is int else None


def price_of(flow: Flow) -> str:
    """Return the cost of a flow's call as text; empty if it is unknown."""
    price = flow.metadata.get(PRICE)
    return price if isinstance(price, str) else ""


def warnings_of(flow: Flow) -> tuple[str, ...]:
    """Return the warnings of a flow's call."""
    warnings = flow.metadata.get(WARNINGS)
    return tuple(each for each in warnings if isinstance(each, str)) if isinstance(warnings, list) else ()


def set_times(flow: HTTPFlow, times: Sequence[tuple[int, int]]) -> None:
    """Store the arrival times of an answer's chunks: the offset after each, and nanoseconds since the request began."""
    flow.metadata[TIMES] = array("q", [number for pair in times for number in pair]).tobytes()


def times_of(flow: HTTPFlow) -> tuple[tuple[int, int], ...]:
    """Return the times that `set_times` stored."""
    data = flow.metadata.get(TIMES)
    numbers = array("q", data if isinstance(data, bytes) and len(data) % 16 == 0 else b"")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def cuts_of(flow: HTTPFlow) -> list[int]:
    """Return the number of bytes that were cut from the request and from the response of a flow."""
    cut = flow.metadata.get(CUT)
    if isinstance(cut, list) and [type(each) for each in cut] == [int, int] and min(cut) >= 0:
        return list(cut)
    return [0, 0]


def cut_of(flow: HTTPFlow, message: Message) -> int:
    """Return the number of bytes that were cut from a message of a flow."""
    return cuts_of(flow)[0 if message is flow.request else 1]


def cut_bodies(flow: HTTPFlow, limit: int) -> None:
    """Cut both bodies to `limit` bytes. The call must be over, because mitmproxy sends these bodies."""
    cut = cuts_of(flow)
    for place, message in enumerate((flow.request, flow.response)):
        content = message.raw_content if message is not None else None
        if message is not None and content is not None and len(content) > limit:
            cut[place] += len(content) - limit
            message.data.content = content[:limit]
    if any(cut):
        flow.metadata[CUT] = cut

"""Read the data of the API's events: one JSON value an event, and servers' deviations from that.

several values     parted by one line end where a blank line should stand, by servers of Kimi-K2.5 and GLM
`[DONE]`           says that nothing follows, and is no value
keep-alives        events without data, with `null`, or with a name that says that they are nothing else
anything else      cannot be read, so that what it said is missing from whatever is made of the stream
"""

from collections.abc import Iterator

import msgspec

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.merging import DONE, parse_data
from moonpalace_addons.wire.chat.text_matcher import TextEventMatcher, TextRun
from moonpalace_addons.wire.json_value import parse
from moonpalace_addons.wire.sse import DEFAULT_EVENT_LIMIT, Decoder, Event

_DONE_LINE = DONE.encode()
_NOTHING = ("", "null", DONE)
_KEEP_ALIVE = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})


class Data(msgspec.Struct, frozen=True, gc=False):
    """What an event says: JSON values in order, each with the error that it tells of. A struct for its low cost.

    An event without any, as `[DONE]`, says None. `is_odd` tells whether some of the data cannot be read.
    """

    values: tuple[tuple[object, ApiError | None], ...] = ((None, None),)
    is_done: bool = False
    is_odd: bool = False


DONE_DATA = Data(is_done=True)
"""What `[DONE]` says."""

_NO_DATA, _ODD_DATA = Data(), Data(is_odd=True)


def make_decoder(limit: int = DEFAULT_EVENT_LIMIT) -> Decoder:
    """Return a decoder that parts the API's events wherever a server parts them."""
    return Decoder(limit, _is_whole)


class DataReader:
    """Read the events of one stream: most of them without parsing them, see `wire/chat/text_matcher.py`."""

    def __init__(self) -> None:
        self._matcher = TextEventMatcher()

    def read_run(self, decoder: Decoder, stream: bytes) -> TextRun | None:
        """Return what the events say with which these bytes begin, and have the decoder skip them, or None."""
        run = self._matcher.read_run(stream) if decoder.may_skip(stream) else None
        if run is not None:
            decoder.skip(run.size)
        return run

    def read(self, event: Event) -> Data:
        """Return what an event says; `TextDelta` in place of a value that is an earlier one's with another text."""
        if event.event != "message":
            return read_data(event)
        more = self._matcher.read(event.data)
        if more is not None:
            return Data(((more, None),))
        data = read_data(event)
        for value, error in data.values if len(data.values) == 1 else ():
            if error is None:
                self._matcher.learn(event.data, value)
        return data


def read_data(event: Event) -> Data:
    """Return what an event says; data that are no JSON are tried line by line."""
    if event.data == DONE and event.event == "message":
        return DONE_DATA  # at once: that it is no JSON takes as long to find out as ten events take to read
    value = parse(event.data)
    error = api_error.find_in_event(event, value)
    if value is not None or error is not None:
        return Data(((value, error),))
    text = event.data.strip()
    if text in _NOTHING:
        return DONE_DATA if text == DONE else _NO_DATA
    if event.event in _KEEP_ALIVE:
        return _NO_DATA
    lines = [line.strip() for line in text.splitlines()]
    values = tuple(_values(event, lines)) if len(lines) > 1 else ()
    read = len(values) + sum(line in _NOTHING for line in lines)
    return Data(values, DONE in lines, read < len(lines)) if values else _ODD_DATA


def _values(event: Event, lines: list[str]) -> Iterator[tuple[object, ApiError | None]]:
    values = (parse_data(line) for line in lines)
    return ((value, api_error.find_in_event(event, value)) for value in values if value is not None)


def _is_whole(line: bytes) -> bool:
    line = line.strip()
    if line.startswith(b"{") and line.endswith(b"}"):
        return parse(line) is not None
    return line == _DONE_LINE

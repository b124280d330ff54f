"""Read the data of the API's events: one JSON value per event, and servers' deviations from that.

several values     separated by one line end instead of a blank line, by servers of Kimi-K2.5 and GLM
`[DONE]`           marks the end, and is not a value
keep-alives        events without data, with `null`, or with the name of a keep-alive
anything else      unreadable: it is missing from everything that is derived from the stream
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.merging import DONE, parse_data
from moonpalace_addons.wire.chat.text_matcher import OnlyText, TextDelta, TextEventMatcher, TextRun
from moonpalace_addons.wire.faces.table import only_text
from moonpalace_addons.wire.json_value import parse
from moonpalace_addons.wire.sse import BLANK_LINE, DEFAULT_EVENT_LIMIT, Decoder, Event

_DONE_LINE = DONE.encode()
_NOTHING = ("", "null", DONE)
_KEEP_ALIVE = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})


type Value = tuple[object, ApiError | None]
"""The JSON value of an event and the error that it reports; a `TextDelta` or `TextRun` in place of the value."""


class Data(msgspec.Struct, frozen=True, gc=False):
    """The JSON values of an event in order, each with the error that it reports. A struct because it is cheap.

    An event without values, such as `[DONE]`, has one None. `is_odd` tells whether part of the data is unreadable.
    """

    values: tuple[Value, ...] = ((None, None),)
    is_done: bool = False
    is_odd: bool = False


DONE_DATA = Data(is_done=True)
"""The data of `[DONE]`."""

_NO_DATA, _ODD_DATA = Data(), Data(is_odd=True)


def make_decoder(limit: int = DEFAULT_EVENT_LIMIT) -> Decoder:
    """Return a decoder that also separates events that a server does not separate by a blank line."""
    return Decoder(limit, _is_whole)


def event_ends(stream: bytes) -> list[int]:
    """Return the end of each event of a whole stream; that of one without a blank line is the end of the stream."""
    decoder = make_decoder(limit=len(stream) + 1)
    return [event.end for event in (*decoder.feed(stream), *decoder.close())]


class DataReader:
    """Read the events of one stream, most of them without parsing: see `wire/chat/text_matcher.py`.

    `only_text` is that of the stream's face; by default that of any face.
    """

    def __init__(self, only_text: Callable[[object], OnlyText | None] = only_text) -> None:
        self._matcher = TextEventMatcher(only_text)

    def read_run(self, decoder: Decoder, stream: bytes) -> TextRun | None:
        """Return the texts of the events at the start of these bytes, and make the decoder skip them; or None."""
        run = self._matcher.read_run(stream) if decoder.may_skip(stream) else None
        if run is not None:
            decoder.skip(run.size)
        return run

    def parts(self, decoder: Decoder, data: bytes) -> Iterator[tuple[bytes, TextRun | None]]:
        """Yield the data in parts: with its texts a run of events, which the decoder skips, or what to feed it."""
        rest, least = data, 0
        while rest:
            run = self.read_run(decoder, rest)
            if run is not None:
                size = run.size
            else:  # one event, doubled each time: perhaps only a few do not match
                end = rest.find(BLANK_LINE, least)
                size = end + len(BLANK_LINE) if end >= 0 else len(rest)
                least = 2 * size
            yield rest[:size], run
            rest = rest[size:]

    def read(self, event: Event) -> Data:
        """Return the data of an event; a value that matches an earlier one is a `TextDelta`."""
        more = self._matcher.read(event.data) if event.event == self._matcher.name else None
        if more is not None:
            return Data(((more, None),))
        data = read_data(event)
        for value, error in data.values if len(data.values) == 1 else ():
            if value is not None and error is None:
                self._matcher.learn(event.data, value, event.event)
        return data


def read_data(event: Event) -> Data:
    """Return the data of an event; data that is not JSON is read line by line."""
    if event.data == DONE and event.event == "message":
        return DONE_DATA  # a shortcut: a failed parse takes as long as reading ten events
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


def in_runs(values: Iterable[Value]) -> Iterator[Value]:
    """Yield values with the errors that they report, and one `TextRun` for consecutive texts of the same channel."""
    run: TextRun | None = None
    for value in values:
        text = value[0]
        if not isinstance(text, TextDelta):
            if run is not None:
                yield run, None
                run = None
            yield value
        elif run is not None and text.choice == run.choice and text.channel == run.channel:
            run.texts.append(text.text)
        else:
            if run is not None:
                yield run, None
            run = TextRun(text.choice, text.channel, [text.text], 0)
    if run is not None:
        yield run, None


def _values(event: Event, lines: list[str]) -> Iterator[tuple[object, ApiError | None]]:
    values = (parse_data(line) for line in lines)
    return ((value, api_error.find_in_event(event, value)) for value in values if value is not None)


def _is_whole(line: bytes) -> bool:
    line = line.strip()
    if line.startswith(b"{") and line.endswith(b"}"):
        return parse(line) is not None
    return line == _DONE_LINE

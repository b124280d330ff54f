"""The event stream decoder: the whole grammar, at every cut."""

import re
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.sse import Decoder, Event
from tests.cuts import pieces_of
from tests.linear import takes_linear_time
from tests.tables import for_each

BOM = b"\xef\xbb\xbf"


def decode(chunks: Iterable[bytes], limit: int = 1 << 20) -> tuple[list[Event], bool]:
    decoder = Decoder(limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.close(), decoder.overflowed


def all_cuts(stream: bytes) -> list[list[bytes]]:
    """Return the stream whole, byte by byte, byte by byte with empty chunks between, and cut in two everywhere."""
    single = pieces_of(stream)
    return [
        [stream],
        single,
        [part for byte in single for part in (byte, b"")],
        *([stream[:i], stream[i:]] for i in range(1, len(stream))),
        *([stream[:i], stream[i : i + 1], stream[i + 1 :]] for i in range(1, len(stream) - 1)),
    ]


CASES: dict[str, tuple[bytes, list[Event]]] = {
    "nothing": (b"", []),
    "one event": (b"data: a\n\n", [Event("a", end=9)]),
    "two events": (b"data: a\n\ndata: b\n\n", [Event("a", end=9), Event("b", end=18)]),
    "no space": (b"data:a\n\n", [Event("a", end=8)]),
    "only the first space goes": (b"data:  a \n\n", [Event(" a ", end=11)]),
    "a tab is data": (b"data:\ta\n\n", [Event("\ta", end=9)]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [Event("a", end=9), Event("b", end=18)]),
    "crlf: the event is complete with the CR": (
        b"data: a\r\n\r\ndata: b\r\n\r\n",
        [Event("a", end=10), Event("b", end=21)],
    ),
    "mixed line ends": (
        b"data: a\r\n\ndata: b\n\r\ndata: c\r\n\r",
        [Event("a", end=10), Event("b", end=19), Event("c", end=30)],
    ),
    "LF CR is two line ends": (b"data: a\n\rdata: b\n\r", [Event("a", end=9), Event("b", end=18)]),
    "many blank lines": (b"\n\r\n\r\rdata: a\n\n\n\n\n", [Event("a", end=14)]),
    "lines are joined": (b"data: a\ndata:b\ndata\ndata: c\n\n", [Event("a\nb\n\nc", end=29)]),
    "data without a colon is empty": (b"data\n\n", [Event("", end=6)]),
    "two of them are a line end": (b"data\ndata\n\n", [Event("\n", end=11)]),
    "data and a colon": (b"data:\n\n", [Event("", end=7)]),
    "comments": (b": hb\n\n:\n\ndata: a\n:inside\n\n", [Event("a", end=26)]),
    "an id before an ordinary event, and a comment behind": (
        b"id: 7\ndata: a\n\ndata: b\n\n: hb\n\ndata: c\n\n",
        [Event("a", id="7", end=15), Event("b", id="7", end=24), Event("c", id="7", end=39)],
    ),
    "ordinary events, then one of two lines": (
        b"data: a\n\ndata: b\ndata: c\n\ndata: d\n\n",
        [Event("a", end=9), Event("b\nc", end=26), Event("d", end=35)],
    ),
    "bytes that are not UTF-8": (b"data: \xff\n\ndata: b\n\n", [Event("\ufffd", end=9), Event("b", end=18)]),
    "the type": (b"event: delta\ndata: a\n\ndata: b\n\n", [Event("a", "delta", end=22), Event("b", end=31)]),
    "the last type counts": (b"event: x\nevent: y\ndata: a\n\n", [Event("a", "y", end=27)]),
    "an empty type": (b"event: x\nevent:\ndata: a\n\n", [Event("a", end=25)]),
    "a type without data is forgotten": (b"event: x\n\ndata: a\n\n", [Event("a", end=19)]),
    "id stays in force": (b"id: 7\ndata: a\n\ndata: b\n\n", [Event("a", id="7", end=15), Event("b", id="7", end=24)]),
    "id without data counts too": (b"id: 7\n\ndata: a\n\n", [Event("a", id="7", end=16)]),
    "an empty id": (b"id: 7\n\nid\ndata: a\n\n", [Event("a", id="", end=19)]),
    "an id with NUL is ignored": (b"id: 7\nid: 8\x009\ndata: a\n\n", [Event("a", id="7", end=23)]),
    "retry": (b"retry: 3000\ndata: a\n\ndata: b\n\n", [Event("a", retry=3000, end=21), Event("b", end=30)]),
    "retry wants ASCII digits": (
        b"retry: 1x\nretry: -1\nretry:  1\nretry:\nretry: \xd9\xa1\ndata: a\n\n",
        [Event("a", end=56)],
    ),
    "retry of absurd length": (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [Event("a", end=5017)]),
    "field names are exact": (b"Data: x\n data: x\ndata : x\ndat: x\ndatax: x\nfoo\ndata: a\n\n", [Event("a", end=55)]),
    "NUL in data": (b"data: a\x00b\n\n", [Event("a\x00b", end=11)]),
    "colons in data": (b"data: a:b: c\n\n", [Event("a:b: c", end=14)]),
    "a byte order mark": (BOM + b"data: a\n\n", [Event("a", end=12)]),
    "a mark before a blank line": (BOM + b"\r\ndata: a\n\n", [Event("a", end=14)]),
    "a second mark is part of a name": (BOM + BOM + b"data: x\n\ndata: a\n\n", [Event("a", end=24)]),
    "a later mark is part of a name": (b"data: a\n\n" + BOM + b"data: x\n\n", [Event("a", end=9)]),
    "half a mark": (BOM[:2] + b"data: x\n\ndata: a\n\n", [Event("a", end=20)]),
    "a mark alone": (BOM, []),
    "UTF-8": ("data: 你好 🌙\n\n".encode(), [Event("你好 🌙", end=19)]),
    "broken UTF-8": (b"data: \xe4\xbd\ndata: \xff\xf0\x9f\n\n", [Event("\ufffd\n\ufffd\ufffd", end=20)]),
    "UTF-8 in the type and the id": ("event: 月\nid: 亮\ndata: a\n\n".encode(), [Event("a", "月", "亮", end=28)]),
    "line separators of Unicode are text": (
        "data: a\u2028b\u0085c\x0b\x0c\x1c\n\n".encode(),
        [Event("a\u2028b\u0085c\x0b\x0c\x1c", end=19)],
    ),
    "an end after a line": (b"data: a\n\ndata: b\n", [Event("a", end=9), Event("b", end=17, terminated=False)]),
    "an end in a line": (b'data: a\r\n\r\ndata: {"x', [Event("a", end=10), Event('{"x', end=20, terminated=False)]),
    "an end in a code point": (b"data: \xe4\xbd", [Event("\ufffd", end=8, terminated=False)]),
    "an end in a field name": (b"data: a\n\nevent: x\nda", [Event("a", end=9)]),
    "an end in the first line": (BOM + b"data: a", [Event("a", end=10, terminated=False)]),
    "an end in a comment": (b"data: a\n: hb", [Event("a", end=12, terminated=False)]),
    "an end after the id": (b"data: a\n\nid: 7\n", [Event("a", end=9)]),
    "no event stream at all": (b'{"error": {"message": "no"}}', []),
}


@for_each("name", CASES)
def test_every_case_at_every_cut(name: str) -> None:
    """The same events are returned however the stream is cut, and nothing overflows."""
    stream, expected = CASES[name]
    sevens = [stream[i : i + 7] for i in range(0, len(stream), 7)]
    for chunks in [sevens, *all_cuts(stream)] if len(stream) < 1000 else [sevens, [stream]]:
        assert decode(chunks) == (expected, False), chunks


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_an_event_is_not_held_back(line_end: bytes) -> None:
    """An event is returned with the first byte of its blank line's end, and only once."""
    decoder = Decoder()
    assert decoder.feed(b"data: a" + line_end) == []
    assert decoder.feed(line_end[:1]) == [Event("a", end=8 + len(line_end))]
    assert decoder.feed(line_end[1:]) == []
    assert decoder.feed(b"data: b" + line_end * 2)[0].data == "b"


def test_close_leaves_nothing() -> None:
    """Closing twice gives the unterminated event once."""
    decoder = Decoder()
    decoder.feed(b"data: a")
    assert [event.data for event in decoder.close()] == ["a"]
    assert decoder.close() == []


LIMIT = 20
OVER = {
    "a long line": (b"data: " + b"x" * 15 + b"\n\ndata: b\n\n", ["b"]),
    "many lines": (b"data: 1\n" * 3 + b"\ndata: b\n\n", ["b"]),
    "other fields count": (b"event: 12345678901\ndata: a\n\ndata: b\n\n", ["b"]),
    "a long comment": (b"data: a\n:" + b"x" * 14 + b"\n\ndata: b\n\n", ["b"]),
    "a line that never ends": (b"data: a\n\ndata: " + b"x" * 100, ["a"]),
    "the rest of a dropped event is skipped": (b"x" * 21 + b"\ndata: c\nid: 3\n\ndata: b\n\n", ["b"]),
    "with CRLF": (b"data: " + b"x" * 15 + b"\r\ndata: y\r\n\r\ndata: b\r\n\r\n", ["b"]),
    "after a mark": (BOM + b"data: " + b"x" * 15 + b"\n\ndata: b\n\n", ["b"]),
}


@pytest.mark.parametrize("name", OVER)
def test_an_event_past_the_limit_is_dropped(name: str) -> None:
    """At every cut, an event beyond the limit is dropped and reported, and the others have their correct ends."""
    stream, expected = OVER[name]
    whole, _ = decode([stream], LIMIT)
    assert [event.data for event in whole] == expected
    for chunks in all_cuts(stream):
        assert decode(chunks, LIMIT) == (whole, True), chunks
    for event in whole:
        assert stream[: event.end].endswith((b"\n\n", b"\r\n\r")), event


WITHIN = {
    "a line of the limit": b"data: " + b"x" * 14 + b"\n\n",
    "the same after a mark": BOM + b"data: " + b"x" * 14 + b"\n\n",
    "lines of the limit": b"data: x\ndata: x\ndata: \n\n",
    "comments do not add up": b": heartbeat\n" * 100 + b"data: " + b"x" * 14 + b"\n\n",
    "events do not add up": b"data: 12345678\n\n" * 20,
}


@pytest.mark.parametrize("name", WITHIN)
def test_an_event_of_the_limit_is_kept(name: str) -> None:
    """An event with lines of exactly the limit is kept, at every cut."""
    stream = WITHIN[name]
    whole = decode([stream], LIMIT)
    assert whole[0]
    assert not whole[1]
    for chunks in all_cuts(stream):
        assert decode(chunks, LIMIT) == whole


def test_memory_has_a_bound() -> None:
    """At most `limit` bytes of a line without end are held."""
    decoder = Decoder(limit=1000)
    for _ in range(1000):
        decoder.feed(b"data: " + b"x" * 94)
        assert len(decoder._rest) <= 1000
    assert decoder.overflowed


def naive(stream: bytes) -> list[tuple[str, str, str | None, int | None, int]]:
    """Decode the terminated events the slow way: the whole text, line by line, by the standard."""
    mark = len(BOM) if stream.startswith(BOM) else 0
    events = []
    data, kind = "", ""
    last_id: str | None = None
    retry: int | None = None
    for match in re.finditer(rb"([^\r\n]*)(\r\n|\r|\n)", stream[mark:]):
        line = match[1].decode("utf-8", "replace")
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((data[:-1], kind or "message", last_id, retry, mark + match.start(2) + 1))
            data, kind, retry = "", "", None
        elif not name and colon:
            continue
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and re.fullmatch("[0-9]{1,18}", value):
            retry = int(value)
    return events


TOKENS = [
    b"data",
    b"event",
    b"id",
    b"retry",
    b":",
    b" ",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"x",
    b"12",
    b"\0",
    BOM,
    b"\xe4",
    b"data: a",
]


@given(st.lists(st.sampled_from(TOKENS), max_size=60).map(b"".join), st.lists(st.integers(0, 200), max_size=8))
def test_against_a_naive_decoder(stream: bytes, cuts: list[int]) -> None:
    """Any bytes, cut anywhere, give the events of a naive decoder."""
    edges = [0, *sorted(cut for cut in cuts if cut <= len(stream)), len(stream)]
    events, overflowed = decode(stream[a:b] for a, b in pairwise(edges))
    assert [(e.data, e.event, e.id, e.retry, e.end) for e in events if e.terminated] == naive(stream)
    assert all(event.end == len(stream) for event in events if not event.terminated)
    assert not overflowed


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda n: b"data: " + b"x" * n + b"\n\n", 1),
        (lambda n: b"data:\n" * (n // 6) + b"\n", 1),
        (lambda n: b"data: 12345\n\n" * (n // 13), 1),
        (lambda n: b"data:\n" * (n // 6) + b"\n", 1 << 20),
        (lambda n: b"\n" * n, 1 << 20),
        (lambda n: b"data: " + b"x" * n + b"\r\r", 1000),
    ],
    ids=[
        "one line bytewise",
        "short lines bytewise",
        "short events bytewise",
        "short lines",
        "blank lines",
        "one line",
    ],
)
def test_time_is_linear(make: Callable[[int], bytes], size: int) -> None:
    """Eight times as many bytes take linear time."""

    def prepare(length: int) -> Callable[[], object]:
        chunks = pieces_of(make(length), size)
        return lambda: decode(chunks, 1 << 24)

    assert takes_linear_time(prepare, 15_000)


def test_a_long_event_bytewise() -> None:
    """An event of 200 KB that arrives byte by byte is returned whole."""
    stream = b"data: " + b"0123456789" * 20_000 + b"\n\n"
    events, overflowed = decode(pieces_of(stream), 1 << 24)
    assert [(len(event.data), event.end) for event in events] == [(200_000, len(stream))]
    assert not overflowed


# ---- events that are parted by one line end -----------------------------------------------------------------------


def is_number(line: bytes) -> bool:
    return line.isdigit()


PARTED: dict[str, tuple[bytes, list[Event]]] = {
    "LF": (b"data: 1\ndata: 2\n\n", [Event("1", end=8, unseparated=True), Event("2", end=17)]),
    "CR": (b"data: 1\rdata: 2\r\r", [Event("1", end=8, unseparated=True), Event("2", end=17)]),
    "CRLF": (b"data: 1\r\ndata: 2\r\n\r\n", [Event("1", end=9, unseparated=True), Event("2", end=19)]),
    "no blank line at all": (
        b"data: 1\ndata: 2\ndata: 3\n",
        [
            Event("1", end=8, unseparated=True),
            Event("2", end=16, unseparated=True),
            Event("3", end=24, terminated=False),
        ],
    ),
    "after an ordinary one": (
        b"data: 1\n\ndata: 2\ndata: 3\n\n",
        [Event("1", end=9), Event("2", end=17, unseparated=True), Event("3", end=26)],
    ),
    "what is not whole by itself is joined": (b"data: a\ndata: 2\n\n", [Event("a\n2", end=17)]),
    "only a first line is": (b"data: a\ndata: 2\ndata: 3\n\n", [Event("a\n2\n3", end=25)]),
    "a comment after it": (b"data: 1\n: hb\n\n", [Event("1", end=8, unseparated=True)]),
    "names": (
        b"event: x\ndata: 1\ndata: 2\nevent: y\ndata: 3\n\ndata: 4\n\n",
        [
            Event("1", "x", end=17, unseparated=True),
            Event("2", "x", end=25, unseparated=True),
            Event("3", "y", end=43),
            Event("4", end=52),
        ],
    ),
}


@pytest.mark.parametrize("name", PARTED)
def test_events_without_a_blank_line_between(name: str) -> None:
    """An event that is complete by itself ends where the next line begins, however the stream was cut."""
    stream, expected = PARTED[name]
    for chunks in all_cuts(stream):
        decoder = Decoder(is_whole=is_number)
        assert [*(event for chunk in chunks for event in decoder.feed(chunk)), *decoder.close()] == expected


@pytest.mark.parametrize("name", CASES)
def test_ordinary_streams_are_never_parted(name: str) -> None:
    """If no line is complete by itself, the check makes no difference."""
    stream, expected = CASES[name]
    for chunks in all_cuts(stream):
        decoder = Decoder(is_whole=lambda _: False)
        assert [*(event for chunk in chunks for event in decoder.feed(chunk)), *decoder.close()] == expected


def test_who_can_tell_is_only_asked_where_it_matters() -> None:
    """Events with blank lines do not call the check."""
    stream = b"id: 1\r\nevent: x\r\ndata: 1\r\n\r\ndata: 2\n\n: hb\n\ndata: 3\r\r"
    asked: list[bytes] = []

    def ask(line: bytes) -> bool:
        asked.append(line)
        return False

    for chunks in all_cuts(stream):
        decoder = Decoder(is_whole=ask)
        assert len([event for chunk in chunks for event in decoder.feed(chunk)]) == 3
    assert asked == []

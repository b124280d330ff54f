"""Compare the parsers with h11: both give the same message for the same bytes, however split, or ours rejects them."""

import os
import re
from dataclasses import dataclass
from itertools import pairwise

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonpalace_addons.engine.events import End, Event, Malformed, Pieces, RequestHead, ResponseHead, Switch
from moonpalace_addons.engine.parsing import RequestReader, ResponseReader

EXAMPLES = int(os.environ.get("MOONPALACE_TEST_FUZZ", "150"))
ROUNDS = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
MOST = 100_000


@dataclass(frozen=True)
class Message:
    """A message in a form common to both parsers; `line` has the parts of its first line."""

    line: tuple[object, ...]
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...]


type Outcome = Message | str
"""A message, or "refused", or "incomplete"."""


def lower(fields: object) -> tuple[tuple[bytes, bytes], ...]:
    """Return header fields in h11's form."""
    return tuple((bytes(name).lower(), bytes(value)) for name, value in fields)  # type: ignore[attr-defined]


def ours(data: bytes, cuts: list[int], *, request: bool, first: bytes = b"") -> Outcome:
    """Return our parser's result for bytes in pieces, perhaps after a `first` answer on the same connection."""
    reader = RequestReader() if request else ResponseReader(bodyless=False)
    if isinstance(reader, ResponseReader):
        reader.feed(first, MOST)
        reader = reader.next(bodyless=False)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    events: list[Event] = []
    for start, end in pairwise(edges):
        events += reader.feed(data[start:end], MOST)
    head, body = None, b""
    for event in events:
        if isinstance(event, RequestHead | ResponseHead):
            head = event
        elif isinstance(event, Pieces | End):
            body += b"".join(event.pieces)
        if isinstance(event, Malformed):
            return "refused"
        if isinstance(event, End) and head is not None:
            line: tuple[object, ...] = (
                (head.method, head.target, head.version)
                if isinstance(head, RequestHead)
                else (head.status, head.version)
            )
            return Message(line, lower(head.fields), body, lower(event.trailers))
        if isinstance(event, Switch):
            return "switched"
    return "incomplete"


def theirs(data: bytes, *, request: bool) -> Outcome:
    """Return h11's result."""
    connection = h11.Connection(h11.SERVER if request else h11.CLIENT, max_incomplete_event_size=MOST)
    if not request:
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        connection.send(h11.EndOfMessage())
    head, body = None, b""
    try:
        connection.receive_data(data.lstrip(b"\r\n"))  # empty lines before a message are passed over (RFC 9112, 2.2)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request | h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                version = b"HTTP/" + bytes(head.http_version)
                line: tuple[object, ...] = (
                    (bytes(head.method), bytes(head.target), version)
                    if isinstance(head, h11.Request)
                    else (head.status_code, version)
                )
                return Message(line, lower(head.headers.raw_items()), body, lower(event.headers))
            elif not isinstance(event, h11.InformationalResponse):
                return "incomplete"
    except h11.RemoteProtocolError:
        return "refused"


def is_refused_on_purpose(data: bytes) -> bool:
    """Tell whether our parser may reject what h11 accepts: it is stricter where implementations disagree."""
    head = data.lstrip(b"\r\n").partition(b"\r\n\r\n")[0]
    line = head.partition(b"\r\n")[0]
    return bool(
        re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", head)
        or re.search(rb"(?<!\r)\n|\r(?!\n)|\r\n[ \t]", data)  # bare line ends, folding
        or len(re.findall(rb"(?im)^content-length:", head)) > 1  # though they should be equal
        or re.search(rb"(?im)^content-length:[^\r]*[,+]", head)
        or (re.search(rb"(?im)^transfer-encoding:", head) and re.search(rb"(?im)^content-length:", head))
        or (re.search(rb"(?im)^transfer-encoding:", head) and b"HTTP/1.0" in line)
        or not re.match(rb"((?:GET|POST) \S+ HTTP/1\.[01]|HTTP/1\.[01] [1-9]\d\d( |$))", line)
        or re.search(rb"(?im)^(connection|upgrade):", head)
        or re.search(rb"(?im)^host:[^\r]*[\s,/@]\S", head.replace(b": ", b":"))
        or line.startswith(b"CONNECT")
        or re.search(rb"\r\n[0-9a-fA-F]+[ \t;]", data)  # blanks after a chunk's size, odd extensions
        or re.search(rb"HTTP/1\.[01] 1\d\d", data)
    )


NAMES = st.sampled_from(
    [b"Host", b"host", b"Content-Length", b"Transfer-Encoding", b"transfer-encoding", b"A", b"x-b", b"A ", b"", b"A\0"]
)
VALUES = st.sampled_from(
    [b"x", b"3", b"0", b"5", b"03", b"3, 3", b"+3", b"-1", b"chunked", b"Chunked", b"gzip, chunked", b"identity", b"",
     b" a\t", b"\xff", b"a\0", b"a\x01", b"99999999999999999999", b"x:80", b"x,y"]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n "])
FIELDS = st.lists(
    st.tuples(NAMES, st.sampled_from([b": "] * 6 + [b":", b" : "]), VALUES, ENDS).map(b"".join), max_size=4
)
SIZES = st.sampled_from([b"3", b"0", b"003", b"A", b"x", b"3;a=b", b"3 ", b"-1", b"", b"fffffffffffffffff"])
CHUNK = st.tuples(SIZES, ENDS, st.sampled_from([b"abc", b"", b"0123456789", b"ab"]), ENDS).map(b"".join)
BODIES = st.one_of(
    st.sampled_from([b"", b"abc", b"abcde", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nT: v\r\n\r\n"]),
    st.lists(CHUNK, max_size=3).map(b"".join).map(lambda chunks: chunks + b"0\r\n\r\n"),
)
REQUEST_LINES = st.sampled_from(
    [b"GET / HTTP/1.1"] * 4 + [b"POST /a?b HTTP/1.1"] * 4
    + [b"GET / HTTP/1.0", b"get / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /", b"GET / HTTP/2.0", b"\r\nGET / HTTP/1.1"]
)  # fmt: skip
STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 6
    + [b"HTTP/1.0 200 OK", b"HTTP/1.1 204 N", b"HTTP/1.1 304 N", b"HTTP/1.1 200", b"HTTP/1.1 20 O"]
)
HOSTS = st.sampled_from([b"Host: x\r\n"] * 6 + [b"", b"Host: y\r\nHost: x\r\n"])
FRAMINGS = st.sampled_from([b"", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"])
CUTS = st.lists(st.integers(1, 300), max_size=6)
MUTATIONS = st.none() | st.tuples(
    st.integers(0, 200), st.sampled_from([b"", b"\0", b"\r", b"\n", b" ", b":", b"0", b"\x80"])
)


def put_together(parts: tuple[bytes, bytes, bytes, list[bytes], bytes, tuple[int, bytes] | None]) -> bytes:
    """Return a message from its parts, perhaps with one byte replaced or dropped."""
    line, host, framing, fields, body, mutation = parts
    data = line + b"\r\n" + host + b"".join(fields) + framing + b"\r\n" + body
    if mutation is None:
        return data
    at, new = mutation
    return data[:at] + new + data[at + 1 :] if at < len(data) else data


REQUESTS = st.tuples(REQUEST_LINES, HOSTS, FRAMINGS, FIELDS, BODIES, MUTATIONS).map(put_together)
ANSWERS = st.tuples(STATUS_LINES, st.just(b""), FRAMINGS, FIELDS, BODIES, MUTATIONS).map(put_together)


def compare(data: bytes, cuts: list[int], *, request: bool) -> None:
    """Compare the results for some bytes."""
    whole = ours(data, [], request=request)
    assert ours(data, cuts, request=request) == whole
    if len(data) < 120:
        assert ours(data, list(range(len(data))), request=request) == whole
    other = theirs(data, request=request)
    if isinstance(whole, Message):
        # A second blank in the first line is none of the target, and h11 refuses what llhttp passes over.
        assert other == whole or is_refused_on_purpose(data)
    if isinstance(other, Message) and whole != other:
        assert whole in ("refused", "incomplete", "switched")
        assert is_refused_on_purpose(data)


@ROUNDS
@given(REQUESTS, CUTS)
def test_requests(data: bytes, cuts: list[int]) -> None:
    """Both parsers give the same request, however it is split."""
    compare(data, cuts, request=True)


@ROUNDS
@given(ANSWERS, CUTS)
def test_answers(data: bytes, cuts: list[int]) -> None:
    """Both parsers give the same answer, however it is split."""
    compare(data, cuts, request=False)


@ROUNDS
@given(ANSWERS, ANSWERS, CUTS)
def test_answers_one_after_the_other(first: bytes, data: bytes, cuts: list[int]) -> None:
    """An answer is read the same after any other on its connection."""
    assert ours(data, cuts, request=False, first=first) == ours(data, [], request=False)


@pytest.mark.parametrize(
    ("first", "is_kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: v\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 3\r\n\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP", False),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"HTTP/2 200 OK\r\n\r\n", False),
        (b"", False),
    ],
)
def test_a_reader_reads_on_after_a_whole_answer(first: bytes, is_kept: bool) -> None:
    """The next answer is read by the same parser only if that expects a new one."""
    reader = ResponseReader(bodyless=False)
    reader.feed(first, MOST)
    assert (reader.next(bodyless=False) is reader) is is_kept


def test_a_reader_does_not_wait_for_the_body_of_an_answer_to_head() -> None:
    """The parser would take the next answer for that body."""
    reader = ResponseReader(bodyless=True)
    assert [type(each) for each in reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", MOST)] == [
        ResponseHead,
        End,
    ]
    assert reader.next(bodyless=False) is not reader


@ROUNDS
@given(st.binary(max_size=300), CUTS)
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    """No bytes make a parser raise, and the result does not depend on how they are split."""
    for request in (True, False):
        assert ours(data, cuts, request=request) == ours(data, [], request=request)


def test_the_comparison_can_fail() -> None:
    """The generated bytes do contain messages that both parsers accept."""
    data = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n"
    expected = Message(
        (b"POST", b"/", b"HTTP/1.1"),
        ((b"host", b"x"), (b"transfer-encoding", b"chunked")),
        b"abc",
        ((b"t", b"v"),),
    )
    assert ours(data, [7, 60], request=True) == theirs(data, request=True) == expected
    assert not is_refused_on_purpose(data)

"""The form of a body by its first bytes, whatever its label."""

import gzip
import time

import pytest

from moonpalace_addons.wire.codings.sniffer import Sniffer
from moonpalace_addons.wire.forms import MAX_HEAD, Form, form_of, is_json
from tests.tables import for_each

BOM = b"\xef\xbb\xbf"
LABELS = ("text/event-stream", "application/json", "text/plain", "application/octet-stream", None)
OTHERS = LABELS[1:]

EVENTS = {
    "data": b'data: {"a"',
    "data without a space": b'data:{"a"',
    "data with an array": b"data: [",
    "a comment": b': hb\n\ndata: {"a"',
    "comments": b': OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\r\n\r\ndata: {"a"',
    "a name": b'event: message_start\ndata: {"type"',
    "all fields": b'id: 1\r\nretry: 10\r\nevent: x\r\ndata: {"a"',
    "empty data first": b'data:\n\ndata\n\ndata: {"a"',
    "done at once": b"data: [DONE]\n\n",
    "line ends first": b'\n\r\n\ndata: {"a"',
    "a mark": BOM + b'data: {"a"',
    "carriage returns": b': hb\r\rdata: {"a"',
}
JSON = {
    "an object": b"{",
    "an array": b"[",
    "blanks first": b' \t\r\n\n {"id": 1}',
    "a mark": BOM + b"{",
    "a mark and blanks": BOM + b"\n\n{",
}


@for_each("label", LABELS)
@for_each("name", EVENTS)
def test_events_under_any_label(name: str, label: str | None) -> None:
    """A stream of events is recognized under any label, and nothing else is assumed before that is clear."""
    assert form_of(EVENTS[name], label) is Form.EVENTS
    for end in range(len(EVENTS[name])):
        assert form_of(EVENTS[name][:end], label) in (None, Form.EVENTS)


@for_each("label", LABELS)
@for_each("name", JSON)
def test_json_under_any_label(name: str, label: str | None) -> None:
    """JSON is recognized at its first byte after whitespace."""
    assert form_of(JSON[name], label) is Form.JSON
    before = JSON[name][: JSON[name].find(b"{" if b"{" in JSON[name] else b"[")]
    assert form_of(before, label) is None


@for_each(
    "body",
    [
        b"data: the history of a word\n",
        b"data:\n  - yaml\n",
        b"data_of: {",
        b"id: 5\nname: x\n",
        b":-)",
        b": a comment\nin a text",
        b"events: {",
        b"hello",
        b"\xff\xd8\xff\xe0",
        b"<html>",
    ],
)
@for_each("label", [label for label in OTHERS if label != "application/json"])
def test_text_that_begins_like_events(body: bytes, label: str | None) -> None:
    """A file that only begins like events is not recognized as such, even if that takes until its end."""
    assert form_of(body, label) in (None, Form.OTHER)
    assert form_of(body, label, is_over=True) is Form.OTHER


@pytest.mark.parametrize("body", [b"", BOM, BOM[:2], b" \r\n", b"hello", b'"text"', b"true"])
def test_the_label_decides_where_bytes_do_not(body: bytes) -> None:
    """If the bytes are ambiguous or missing, the label decides."""
    assert form_of(body, "text/event-stream", is_over=True) is Form.EVENTS
    assert form_of(body, "application/problem+json", is_over=True) is Form.JSON
    assert form_of(body, "text/plain", is_over=True) is Form.OTHER
    assert form_of(body, None, is_over=True) is Form.OTHER


def test_a_page_instead_of_events() -> None:
    """A gateway's HTML is not a stream, even if labelled so."""
    assert form_of(b"\n<!DOCTYPE", "text/event-stream") is Form.OTHER


@pytest.mark.parametrize("label", LABELS)
def test_undecided_for_ever(label: str | None) -> None:
    """An ambiguous body without end is decided by its label, in bounded time and memory."""
    expected = {"text/event-stream": Form.EVENTS, "application/json": Form.JSON}.get(label or "", Form.OTHER)
    sniffer = Sniffer(label)
    began = time.process_time()
    piece = b"\n: hb\n" * (1 if label is None else 50)  # little pieces are those that take time
    for _ in range(MAX_HEAD // len(piece) + 1):
        sniffer.feed(piece)
    assert sniffer.form is expected
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("application/json", True),
        ("text/json", True),
        ("application/problem+json", True),
        ("application/x-ndjson", False),
        ("application/jsonl", False),
        ("text/event-stream", False),
        (None, False),
    ],
)
def test_what_is_called_one_json_document(label: str | None, expected: bool) -> None:
    """Sequences of JSON are not a single document."""
    assert is_json(label) is expected


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_bytes_from_the_network(encoding: str | None) -> None:
    """The first decoded bytes decide, however they were cut; before them the form is unknown."""
    body = EVENTS["comments"] + b"}\n\n"
    sent = gzip.compress(body) if encoding else body
    sniffer = Sniffer("application/json", encoding)
    assert (sniffer.form, sniffer.has_begun) == (None, False)
    forms = [sniffer.feed(sent[at : at + 1]) for at in range(len(sent))]
    assert set(forms[:5]) == {None}
    assert (forms[-1], sniffer.close(), sniffer.has_begun) == (Form.EVENTS, Form.EVENTS, True)


def test_a_bomb_is_not_decoded_whole() -> None:
    """Only the first bytes are decoded of 50 MB in a few bytes."""
    sniffer = Sniffer(None, "gzip")
    assert sniffer.feed(gzip.compress(b" " * 50_000_000)) is Form.OTHER


def test_what_is_not_encoded_as_it_says() -> None:
    """If the body is not encoded as its header says, its raw bytes decide."""
    assert Sniffer(None, "gzip").feed(b'{"error": 1}') is Form.JSON
    sniffer = Sniffer("application/json", "gzip")
    sniffer.feed(gzip.compress(b"{}")[:5])
    assert not sniffer.has_begun
    assert sniffer.close() is Form.JSON

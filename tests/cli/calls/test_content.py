"""Tests of classifying bodies."""

from collections.abc import Callable

import pytest

from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire.json_text import Verbatim
from moonpalace_cli.calls.content import Answer, Content, answer, members, read, readable

EVENTS = 'data: {"id":"中"}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("data", "content", "text"),
    [
        (None, "", ""),
        (b"", "", ""),
        (b'{"a":[]}', Verbatim('{"a":[]}'), '{\n    "a": []\n}'),
        (b"null", Verbatim("null"), "null"),
        (b"<html>", "<html>", "<html>"),
        ("中文 {".encode(), "中文 {", "中文 {"),
        (b"\xff" * 1234, b"\xff" * 1234, "(1,234 bytes that are not UTF-8 text; mpal export gives them in base64)"),
    ],
)
def test_bodies_are_told_apart(data: bytes | None, content: Content, text: str) -> None:
    """A body is JSON, other text or bytes, and each has its form."""
    assert read(data) == content
    assert readable(content) == text


def test_bytes_become_base64() -> None:
    """Bytes are put into a document in base64 under a key that says so."""
    assert members("body", b"\x00\xff") == {"body_base64": "AP8="}
    assert members("body", "x") == {"body": "x"}


@pytest.mark.parametrize(
    ("changes", "bodies", "expected"),
    [
        ({}, Bodies(b"", b"{}", None), Answer(Verbatim("{}"), None)),
        ({}, Bodies(None, None, None), Answer("", None)),
        ({"is_stream": True}, Bodies(b"", b"{}", EVENTS.encode()), Answer(Verbatim("{}"), EVENTS)),
        ({"is_coerced": True}, Bodies(b"", b"{}", EVENTS.encode()), Answer(Verbatim("{}"), EVENTS)),
        ({"is_stream": True}, Bodies(b"", None, b"data: \xff\n\n"), Answer(None, b"data: \xff\n\n")),
        ({"response_content_type": "text/event-stream"}, Bodies(b"", None, b": hb"), Answer(None, ": hb")),
        ({"response_content_type": "text/event-stream"}, Bodies(b"", None, b"{}"), Answer(Verbatim("{}"), None)),
        ({"is_coerced": True}, Bodies(b"", None, EVENTS.encode()), Answer(None, EVENTS)),
        ({"state": State.IN_FLIGHT}, Bodies(b"", None, b'{"half'), Answer('{"half', None)),
    ],
)
def test_answer(
    exchange: Callable[..., Exchange], changes: dict[str, object], bodies: Bodies, expected: Answer
) -> None:
    """A stream has its events and the merged body; the received part of any other answer is its body."""
    assert answer(exchange(**changes), bodies) == expected


@pytest.mark.parametrize(
    ("given", "merged", "shown"),
    [
        (Answer("body", None), False, "body"),
        (Answer("body", None), True, "body"),
        (Answer("body", "events"), False, "events"),
        (Answer("body", "events"), True, "body"),
        (Answer(None, "events"), True, "events"),
    ],
)
def test_events_are_shown_unless_merged(given: Answer, merged: bool, shown: str) -> None:
    """A stream shows its events, or its completion on request if there is one."""
    assert given.shown(merged=merged) == shown

"""Tests of the JSON document, in several lines and in one."""

import json
from collections.abc import Callable

import pytest

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.json_document import document, line


def test_document(call: Callable[..., Call]) -> None:
    """The document has the stored labels: category, tags, note."""
    read = json.loads(document(call(tags=("b", "a"), category="badcase", note="odd")))
    assert list(read) == ["metadata", "request", "response", "category", "tags", "note", "exchange"]
    assert (read["category"], read["tags"], read["note"]) == ("badcase", ["b", "a"], "odd")


def test_times_of_events(call: Callable[..., Call]) -> None:
    """The times of a stream's events are one line, and times are exact."""
    text = document(call(events=b"data: 1\n\ndata: 2\n\n", event_times=(1_000_001, 2_000_002), latency=3_000_003))
    assert '\n        "event_times": [1000001, 2000002]\n' in text
    read = json.loads(text)
    assert read["exchange"]["latency"] == 3_000_003
    assert (read["exchange"]["method"], read["exchange"]["started_at"]) == ("POST", "2026-11-22T17:27:02+00:00")


@pytest.mark.parametrize(
    "body", [b'{"a": [1.10, "x\\n  y, ", {}], "a": 123456789012345678901}', b"", b"  text,\n  more", b"\xff"]
)
def test_line(call: Callable[..., Call], body: bytes) -> None:
    """A line is equivalent to the document, including digits, in one line."""
    given = call(body)
    text = line(given)
    assert "\n" not in text
    assert json.loads(text, parse_float=str) == json.loads(document(given), parse_float=str)
    assert text.startswith('{"metadata": {"chatcmpl": "chatcmpl-00000001", ')

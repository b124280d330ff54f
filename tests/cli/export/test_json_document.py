"""Tests of the JSON document, in several lines and in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from moonpalace_cli.export.json_document import document, line

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call


def test_document(call: Callable[..., Call]) -> None:
    """The document has the stored labels: category, tags, note."""
    read = json.loads(document(call(tags=("b", "a"), category="badcase", note="odd")))
    assert list(read) == ["metadata", "request", "response", "category", "tags", "note"]
    assert (read["category"], read["tags"], read["note"]) == ("badcase", ["b", "a"], "odd")


@pytest.mark.parametrize(
    "body", [b'{"a": [1.10, "x\\n  y, ", {}], "a": 123456789012345678901}', b"", b"  text,\n  more", b"\xff"]
)
def test_line(call: Callable[..., Call], body: bytes) -> None:
    """A line means what the document means, digits and all, and is one line."""
    given = call(body)
    text = line(given)
    assert "\n" not in text
    assert json.loads(text, parse_float=str) == json.loads(document(given), parse_float=str)
    assert text.startswith('{"metadata": {"chatcmpl": "chatcmpl-00000001", ')

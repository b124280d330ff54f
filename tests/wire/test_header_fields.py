"""Header fields as they came."""

import pytest

from moonpalace_addons.wire.header_fields import Fields, as_text, by_name, lines, text_of

TWICE = ((b"X-B", b"2"), (b"x-a", b""), (b"x-b", b"3"), (b"X-B", b"1"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), {}),
        (TWICE[:2], {b"x-b": b"2", b"x-a": b""}),
        (TWICE, {b"x-b": b"2, 3, 1", b"x-a": b""}),
    ],
)
def test_values_by_name(fields: Fields, expected: dict[bytes, bytes]) -> None:
    """A name in any case finds its value; values of one name are joined in their order."""
    assert by_name(fields) == expected


def test_text_has_a_line_for_each_field() -> None:
    """Order, case and repetition are kept; lines end in CR and LF; no fields are an empty text."""
    assert list(lines(TWICE)) == [b"X-B: 2", b"x-a: ", b"x-b: 3", b"X-B: 1"]
    assert as_text(TWICE) == "X-B: 2\r\nx-a: \r\nx-b: 3\r\nX-B: 1\r\n"
    assert as_text(()) == ""


def test_bytes_that_are_not_text() -> None:
    """Bytes that are not UTF-8, also half a character at an end, become U+FFFD; Chinese stays."""
    fields = ((b"X-\xff", b"\xe6\x9c\x88\xff"), (b"half", b"\xe6\x9c"), (b"next", b"1"))
    assert as_text(fields) == "X-\ufffd: 月\ufffd\r\nhalf: \ufffd\r\nnext: 1\r\n"
    named = by_name(fields)
    assert [text_of(named, name) for name in (b"x-\xff", b"half", b"none")] == ["月\ufffd", "\ufffd", None]

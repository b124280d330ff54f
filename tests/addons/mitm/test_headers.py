"""Reading mitmproxy's headers."""

import pytest
from mitmproxy.http import Headers

from moonpalace_addons.mitm.headers import as_text, by_name, media_type, pairs


def test_pairs_keep_order_case_and_repetition() -> None:
    """Names and values keep their order and case, including repetitions."""
    headers = Headers([(b"X-B", b"2"), (b"x-a", b"1"), (b"X-B", b"3")])
    assert pairs(headers) == [("X-B", "2"), ("x-a", "1"), ("X-B", "3")]


def test_pairs_survive_other_bytes() -> None:
    """Bytes that are not UTF-8 become replacement characters; Chinese text stays."""
    headers = Headers([(b"X-\xff", b"\xe6\x9c\x88\xff")])
    assert pairs(headers) == [("X-�", "月�")]


def test_text_is_one_line_a_header() -> None:
    """Headers are stored as lines that end in CR and LF; none is an empty text."""
    assert as_text([("A", "1"), ("B", "")]) == "A: 1\r\nB: \r\n"
    assert as_text([]) == ""


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        (" text/event-stream ;x", "text/event-stream"),
        ("", None),
        (None, None),
    ],
)
def test_media_type(content_type: str | None, expected: str | None) -> None:
    """A media type has neither parameters nor upper case."""
    assert media_type(content_type) == expected


def test_values_by_name() -> None:
    """A name in any case finds its value; values of one name are joined in their order."""
    found = by_name([("Content-Type", "text/plain"), ("VARY", "Origin"), ("vary", "Accept")])
    assert found == {"content-type": "text/plain", "vary": "Origin, Accept"}

"""Tests of reading headers as they are stored."""

from moonpalace_addons.store.read.header_text import header_lines, header_pairs


def test_lines_and_pairs() -> None:
    """Whatever ends the lines, names and values come without the whitespace around them; a value may hold colons."""
    text = "Host: api\r\nX-Odd: a\u2028\r\nX-Empty:\r\nX-Time:12:30\nX-Wide:  a b \r\n"
    assert header_lines(text) == ["Host: api", "X-Odd: a\u2028", "X-Empty:", "X-Time:12:30", "X-Wide:  a b "]
    assert header_pairs(text) == [
        ("Host", "api"),
        ("X-Odd", "a\u2028"),
        ("X-Empty", ""),
        ("X-Time", "12:30"),
        ("X-Wide", "a b"),
    ]
    assert header_pairs("") == []

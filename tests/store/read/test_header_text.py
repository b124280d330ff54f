"""Tests of parsing stored headers."""

from moonpalace_addons.store.read.header_text import header_lines, header_pairs, values_of


def test_lines_and_pairs() -> None:
    """With any line endings, names and values have no surrounding whitespace; a value may contain colons."""
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


def test_values_of_a_few_names() -> None:
    """A few headers are read like all, whatever their case and line endings; the last of a name counts."""
    names = ("x-a", "x.b")
    for text in (
        "",
        "X-A: 1\r\nX.B:2\r\n",
        "x-a : 1 \t\r\nX-A: 2\nx-ab: 3\nxxb: 4\n",
        "Host: x-a: 1\r\nY: x.b: 2\r\n",
        "x-a: a\rb\r\r\nX.B: \r",
        "X-A:\r\n\r\nx.B:: 1",
    ):
        every = {name.lower(): value for name, value in header_pairs(text)}
        assert values_of(names, text) == {name: every[name] for name in names if name in every}

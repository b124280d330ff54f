"""Tests of fitting texts into columns."""

import time

from moonpalace_addons.wire.columns import shortened, shortened_name, width_of
from tests.tables import for_each


@for_each(
    ("text", "width", "expected"),
    [
        ("short", 5, "short"),
        ("a longer text", 10, "a longer…"),
        ("a longer text", 9, "a longer…"),
        ("a longer text", 8, "a longe…"),
        ("averylongword", 6, "avery…"),
        ("月亮上有什么", 12, "月亮上有什么"),
        ("月亮上有什么", 11, "月亮上有什…"),
        ("月亮上有什么", 8, "月亮上…"),
        ("x", 0, ""),
        ("xy", 1, "…"),
        ("\\u8bf7\\u628a", 8, "\\u8bf7…"),
        ("\\u8bf7\\u628a", 11, "\\u8bf7…"),
        ("a \\x1b[31m", 5, "a…"),
        ("C:\\users\\me", 7, "C:\\use…"),
    ],
)
def test_shortened(text: str, width: int, expected: str) -> None:
    """A text is cut at the end of a word if one is near, and never within a wide character."""
    assert shortened(text, width) == expected
    assert width_of(expected) <= width


def test_a_long_text_is_not_measured() -> None:
    """Only the beginning is measured, however long the text is."""
    text, before = "月亮" * 500_000, time.process_time()
    width_of(text)
    between = time.process_time()
    assert shortened(text, 80) == "月亮" * 19 + "月…"
    assert time.process_time() - between < (between - before) / 10


def test_shortened_names() -> None:
    """Names lose their middle."""
    assert shortened_name("moonshot-v1-128k-vision-preview", 16) == "moonsho…-preview"
    assert shortened_name("kimi-k3", 16) == "kimi-k3"
    assert width_of(shortened_name("模型" * 20, 16)) <= 16


def test_combining_characters_take_no_column() -> None:
    """Combining characters take no column."""
    assert width_of("e\u0301") == 1

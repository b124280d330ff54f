"""Tests of boxed tables."""

import pytest
from wcwidth import wcswidth

from moonpalace_cli.tables import box, display_width, share, wrap


def test_box_is_the_documented_one() -> None:
    """Cells are left-aligned, and a terminal sees straight lines whatever the alphabet."""
    assert box(["id", "文本"], [["1", "中文 🚀"], ["22", ""]]).split("\n") == [
        "+----+---------+",
        "| id | 文本    |",
        "+----+---------+",
        "| 1  | 中文 🚀 |",
        "| 22 |         |",
        "+----+---------+",
    ]


def test_empty_box_is_its_head() -> None:
    """Without rows there are the headers between their rules, and the last rule."""
    rule = "+----+--------+"
    assert box(["id", "status"], []) == f"{rule}\n| id | status |\n{rule}\n{rule}"


def test_cells_may_have_several_lines() -> None:
    """A row is as high as its highest cell, and leading spaces stay."""
    assert box(["a", "b"], [["{\n    1\n}", "x"]]).split("\n") == [
        "+-------+---+",
        "| a     | b |",
        "+-------+---+",
        "| {     | x |",
        "|     1 |   |",
        "| }     |   |",
        "+-------+---+",
    ]


@pytest.mark.parametrize(
    ("text", "width", "wrapped"),
    [
        ("", 4, ""),
        ("abcdefghij", 4, "abcd\nefgh\nij"),
        ("    ab cd\n\nx", 6, "    ab\n cd\n\nx"),
        ("中文中文a", 4, "中文\n中文\na"),
        ("中文中文a", 5, "中文\n中文a"),
        ("aé中", 3, "aé\n中"),
        ("e\u0301e\u0301中", 2, "e\u0301e\u0301\n中"),
        ("👨\u200d👩\u200d👧x", 2, "👨\u200d👩\u200d👧\nx"),
        ("中文", 1, "中\n文"),
    ],
)
def test_wrap_cuts_by_display_width(text: str, width: int, wrapped: str) -> None:
    """Lines are cut hard at what a terminal can show; a character and what combines with it stay together."""
    assert wrap(text, width) == wrapped
    assert wrap(text, width).replace("\n", "") == text.replace("\n", "")
    assert width == 1 or all(wcswidth(line) <= width for line in wrapped.split("\n"))


@pytest.mark.parametrize(
    ("natural", "available", "widths"),
    [
        ([5, 10, 20], 40, [5, 10, 20]),
        ([5, 50, 20], 39, [5, 17, 17]),
        ([5, 50, 60], 41, [5, 18, 18]),
        ([60, 5, 50], 41, [18, 5, 18]),
        ([9, 9], 1, [1, 1]),
        ([], 10, []),
    ],
)
def test_share_leaves_narrow_columns_alone(natural: list[int], available: int, widths: list[int]) -> None:
    """Only the wide columns give way, all to the same width, but never to nothing."""
    assert share(natural, available) == widths


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("中文", 4), ("e\u0301", 1), ("🚀", 2), ("", 0)])
def test_display_width(text: str, width: int) -> None:
    """The width is that on a terminal."""
    assert display_width(text) == width

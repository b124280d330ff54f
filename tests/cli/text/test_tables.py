"""Tests of boxed tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from moonpalace_cli.text.tables import STYLE, box, cut, display_width, fold, share
from tests.tables import for_each


def test_box_is_the_documented_one() -> None:
    """Cells are left-aligned, and a terminal shows straight lines with any alphabet."""
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


def test_numbers_are_on_the_right() -> None:
    """The named columns are right-aligned, including the header."""
    assert box(["name", "n"], [["a", "1,200"], ["中", "\x1b[33m7\x1b[0m"]], {1}).split("\n")[1:5] == [
        "| name |     n |",
        "+------+-------+",
        "| a    | 1,200 |",
        "| 中   |     \x1b[33m7\x1b[0m |",
    ]


def test_cells_may_have_several_lines() -> None:
    """A row is as high as its highest cell, and leading spaces are kept."""
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
    ("line", "width", "pieces"),
    [
        ("", 4, ""),
        ("abcdefghij", 4, "abcd\nefgh\nij"),
        ("    ab cd", 6, "    ab\n cd"),
        ("中文中文a", 4, "中文\n中文\na"),
        ("中文中文a", 5, "中文\n中文a"),
        ("aé中", 3, "aé\n中"),
        ("e\u0301e\u0301中", 2, "e\u0301e\u0301\n中"),
        ("👨\u200d👩\u200d👧x", 2, "👨\u200d👩\u200d👧\nx"),
        ("中文", 1, "中\n文"),
    ],
)
def test_cut_by_display_width(line: str, width: int, pieces: str) -> None:
    """Lines are cut by display width; a character and its combining characters stay together."""
    assert cut(line, width) == pieces.split("\n")
    assert width == 1 or all(wcswidth(piece) <= width for piece in cut(line, width))


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
    """Only the wide columns shrink, all to the same width, but never to nothing."""
    assert share(natural, available) == widths


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("中文", 4),
        ("e\u0301", 1),
        ("🚀", 2),
        ("", 0),
        ("\x1b[32mab\x1b[0m", 2),
        ("\x1b[1m\x1b[36m中\x1b[0m", 2),
    ],
)
def test_display_width(text: str, width: int) -> None:
    """The width is that on a terminal; colours have none."""
    assert display_width(text) == width


def test_boxes_with_colours() -> None:
    """Colours do not move the frame."""
    coloured = box(["a", "b"], [["\x1b[32m中\x1b[0m", "x"], ["abc", ""]])
    assert STYLE.sub("", coloured) == box(["a", "b"], [["中", "x"], ["abc", ""]])


@for_each(
    ("line", "width", "pieces"),
    [
        ("", 5, [""]),
        ("some words", 20, ["some words"]),
        ("some words to read", 10, ["some words", "to read"]),
        ("some more words", 8, ["some", "more", "words"]),
        ("averylongword", 5, ["avery", "longw", "ord"]),
        ("a verylongword", 6, ["a very", "longwo", "rd"]),
        ("没有空格的一段话", 6, ["没有空", "格的一", "段话"]),
        ("  indented words", 10, ["  indented", "words"]),
        ("最多 50 次往下说", 10, ["最多 50 次", "往下说"]),
        ("一二三四，五六", 8, ["一二三", "四，五六"]),
        ("一二三（四五）", 8, ["一二三", "（四五）"]),
        ("设一个新的max_tokens吧", 14, ["设一个新的", "max_tokens吧"]),
    ],
)
def test_fold(line: str, width: int, pieces: list[str]) -> None:
    """Lines are broken at spaces and in Chinese if that wastes little, not before punctuation; else anywhere."""
    assert fold(line, width) == pieces


@given(st.text(st.characters(exclude_categories=["C"])), st.integers(2, 20))
def test_fold_loses_only_spaces(line: str, width: int) -> None:
    """Only spaces at the breaks are removed, and no piece is wider than requested."""
    pieces = fold(line, width)
    assert "".join(pieces).replace(" ", "") == line.replace(" ", "")
    assert all(display_width(piece) <= width for piece in pieces)


def test_folding_a_megabyte_takes_a_moment() -> None:
    """A line of a megabyte is folded in linear time."""
    assert len(fold("中文" * 250_000, 80)) == 12_500

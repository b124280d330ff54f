"""The changes within a text."""

import random

import pytest

from moonpalace_cli.views.comparing.sequences import Budget
from moonpalace_cli.views.comparing.texts import changes, common_start


def changed(before: str, after: str) -> list[str | tuple[str, str]]:
    """Return the parts of a text."""
    return [run.before if run.is_same else (run.before, run.after) for run in changes(before, after, Budget(1_000_000))]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", []),
        ("the same", "the same", ["the same"]),
        (
            "The cat sat on the mat.",
            "The car sat on a mat.",
            ["The ", ("cat", "car"), " sat on ", ("the", "a"), " mat."],
        ),
        ("max 4096", "max 8192", ["max ", ("4096", "8192")]),
        ("今天天气不错", "今天天气很好", ["今天天气", ("不错", "很好")]),
        ("one\ntwo\nthree\n", "one\nthree\n", ["one\n", ("two\n", ""), "three\n"]),
        ("x a y", "z a w", [("x a y", "z a w")]),
        ("a👍🏽b", "a👍b", ["a👍", ("🏽", ""), "b"]),
    ],
)
def test_changes(before: str, after: str, expected: list[object]) -> None:
    """Whole words are marked, or single Chinese characters; short common parts between two changes are not kept."""
    assert changed(before, after) == expected


def test_runs_are_the_texts() -> None:
    """Joined, the parts are the texts."""
    dice = random.Random(4)
    for _ in range(200):
        before, after = ("".join(dice.choices("ab \n月.", k=dice.randrange(40))) for _ in range(2))
        runs = changes(before, after, Budget(10_000))
        assert ("".join(run.before for run in runs), "".join(run.after for run in runs)) == (before, after)


@pytest.mark.parametrize("place", [0, 1, 4095, 4096, 4097, 9000, 9999])
def test_common_start(place: int) -> None:
    """The common prefix ends at the first difference, or with the shorter text."""
    text = "月" * 10_000
    assert common_start(text, text[:place] + "x" + text[place + 1 :]) == place
    assert common_start(text, text[:place]) == common_start(text[:place], text) == place


@pytest.mark.parametrize("piece", ["word ", "line\n", "月", "x"], ids=ascii)
def test_large_texts(piece: str) -> None:
    """A single change in the middle of two megabytes is found."""
    half = piece * (1_000_000 // len(piece))
    assert [run.is_same for run in changes(f"{half}\nhere\n{half}", f"{half}\nthere\n{half}", Budget(1000))] == [
        *(True, False, True)
    ]


def test_indented_lines_stay() -> None:
    """A common part that begins with many spaces is kept."""
    same = " " * 20 + "return f(x) + g(y)\n"
    runs = changes(f"a = 1\n{same}b", f"a = 2\n{same}c", Budget(1000))
    assert any(run.is_same and "return f(x) + g(y)" in run.before for run in runs)

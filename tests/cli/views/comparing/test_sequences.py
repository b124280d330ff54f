"""The common parts of two sequences."""

import random

import pytest

from moonpalace_cli.views.comparing.sequences import MAX_DISTANCE, Budget, Pair, pairs, stretches
from tests.linear import takes_linear_time


def changed(before: str, after: str, steps: int = 10_000) -> list[str | tuple[str, str]]:
    """Return the stretches of two texts, taken as sequences of characters."""
    parts = stretches(before, after, Budget(steps))
    return [before[part.before] if part.is_same else (before[part.before], after[part.after]) for part in parts]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", []),
        ("same", "same", ["same"]),
        ("", "new", [("", "new")]),
        ("abcd", "abXcd", ["ab", ("", "X"), "cd"]),
        ("abXcd", "abcd", ["ab", ("X", ""), "cd"]),
        ("aa", "aaa", ["aa", ("", "a")]),
        ("abcabba", "cbabac", [("ab", ""), "c", ("", "b"), "ab", ("b", ""), "a", ("", "c")]),
    ],
)
def test_stretches(before: str, after: str, expected: list[object]) -> None:
    """Common parts are kept, and differences are as short as possible."""
    assert changed(before, after) == expected


def test_stretches_are_the_sequences() -> None:
    """Joined, the stretches are the sequences, and equal ones are equal."""
    dice = random.Random(4)
    for _ in range(300):
        before, after = ("".join(dice.choices("abc", k=dice.randrange(12))) for _ in range(2))
        parts = list(stretches(before, after, Budget(10_000)))
        assert "".join(before[part.before] for part in parts) == before
        assert "".join(after[part.after] for part in parts) == after
        assert all((before[part.before] == after[part.after]) == part.is_same for part in parts)


def test_unlike_sequences_are_given_up() -> None:
    """Beyond the limits, of differences or of steps, only the ends are compared."""
    far = "x" * (MAX_DISTANCE + 1)
    assert changed(f"a{far}b", "ab") == ["a", (far, ""), "b"]
    assert changed("a1b2c", "a3b4c", steps=1) == ["a", ("1b2", "3b4"), "c"]


def test_the_work_is_linear() -> None:
    """Sequences without common elements take linear time."""
    assert takes_linear_time(lambda size: lambda: list(stretches("a" * size, "b" * size, Budget(10_000))), 20_000)


def test_pairs() -> None:
    """Elements of one kind that replaced each other are paired, others are alone."""
    result = list(pairs(["a1", "b1", "c1"], ["a1", "b2", "d1", "c1"], lambda each: each[0], Budget(1000)))
    assert result == [
        Pair("a1", "a1", is_same=True),
        Pair("b1", "b2"),
        Pair(None, "d1"),
        Pair("c1", "c1", is_same=True),
    ]

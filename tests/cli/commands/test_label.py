"""Tests of `mpal label`."""

import json

import pytest

from tests.cli.conftest import Mpal, Store


def labels(mpal: Mpal, *arguments: str) -> list[object]:
    """Return the labels of calls: id, category, tags, note."""
    lines = mpal("label", *arguments, "--json").out.splitlines()
    return [list(json.loads(line).values()) for line in lines]


@pytest.fixture
def three(store: Store) -> Store:
    """Store three calls."""
    for name in ("one", "two", "three"):
        store.add(chatcmpl_id=f"cmpl-{name}", msh_request_id=f"req-{name}")
    return store


def test_labels(three: Store, mpal: Mpal) -> None:
    """A category, tags and a note are stored, changed and removed."""
    result = mpal(
        "label", "--id", "2", "--good", "--tag", "code", "--tag", " python ", "--note", "一 note\nof two lines"
    )
    assert (result.code, result.out, result.err) == (0, "labelled 1 call\n", "")
    assert labels(mpal, "--id", "2") == [[2, "goodcase", ["code", "python"], "一 note\nof two lines"]]
    mpal("label", "--id", "2", "--bad", "--untag", "python", "--tag", "code", "--note", "")
    assert labels(mpal, "--id", "2") == [[2, "badcase", ["code"], None]]
    mpal("label", "--id", "2", "--clear", "--untag", "code")
    assert labels(mpal, "--id", "2") == [[2, None, [], None]]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--id", "1", "--id", "3"], [1, 3]),
        (["--chatcmpl", "cmpl-two"], [2]),
        (["--requestid", "req-three"], [3]),
        (["--id", "3", "--requestid", "req-three"], [3]),
        (["--last"], [3]),
        (["--last", "2"], [2, 3]),
        (["--all"], [1, 2, 3]),
    ],
)
def test_chosen_calls(three: Store, mpal: Mpal, arguments: list[str], ids: list[int]) -> None:
    """The calls are selected by any of their identifiers, as the last ones, or all; others are not changed."""
    result = mpal("label", *arguments, "--tag", "x")
    assert result.out == f"labelled {len(ids)} call{'' if len(ids) == 1 else 's'}\n"
    assert [row for row in labels(mpal, "--all") if row[2]] == [[row_id, None, ["x"], None] for row_id in ids]  # type: ignore[index]


def test_labels_are_shown(three: Store, mpal: Mpal) -> None:
    """Without changes the labels are shown; control characters are escaped."""
    three.add(category="badcase", note="a\x1b[31m")
    mpal("label", "--id", "4", "--tag", "b", "--tag", "a")
    assert mpal("label", "--last", "2").out == (
        "+----+----------+------+-------------+\n"
        "| id | category | tags | note        |\n"
        "+----+----------+------+-------------+\n"
        "| 3  |          |      |             |\n"
        "| 4  | badcase  | a, b | a\\u001b[31m |\n"
        "+----+----------+------+-------------+\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--good"],
            2,
            "at least one of the flags in the group [id chatcmpl requestid] is required, or an ID "
            "(mpal label 13), --last, a filter such as --failed, or --all "
            "(see mpal label --help)",
        ),
        (["--id", "1", "--good", "--bad"], 2, "--good and --bad exclude each other (see mpal label --help)"),
        (
            ["--id", "1", "--clear", "--bad"],
            2,
            "--clear removes the category: leave out --good and --bad (see mpal label --help)",
        ),
        (
            ["--id", "1", "--tag", "a", "--untag", "a"],
            2,
            "--tag and --untag name the same tag, 'a' (see mpal label --help)",
        ),
        (["--id", "1", "--tag", ""], 2, None),
        (["--id", "1", "--tag", "a\nb"], 2, None),
        (["--id", "1", "--tag", "a\x00"], 2, None),
        (["--id", "1", "--tag", "x" * 101], 2, None),
        (["--id", "1", "--tag", "\ud800"], 2, None),
        (["--id", "1", "--note", "x" * 10_001], 2, None),
        (["--id", "1", "--note", "\x1b"], 2, None),
        (["--id", "9", "--good"], 1, "no stored call has id 9; mpal list shows the stored calls"),
        (
            ["--id", "1", "--id", "9", "--id", "8", "--good"],
            1,
            "no stored call has id 9, 8; mpal list shows the stored calls",
        ),
    ],
)
def test_errors(three: Store, mpal: Mpal, arguments: list[str], code: int, message: str | None) -> None:
    """Invalid input, and missing calls, are one line each, and nothing is stored."""
    result = mpal("label", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert message is None or result.err == f"Error: {message}\n"
    assert [row[1:] for row in labels(mpal, "--all")] == [[None, [], None]] * 3  # type: ignore[index]

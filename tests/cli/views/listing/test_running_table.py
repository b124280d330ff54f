"""Tests of tables that are drawn row by row."""

import pytest
from wcwidth import wcswidth

from moonpalace_cli.views.listing.columns import DEFAULT
from moonpalace_cli.views.listing.watching import RunningTable

ROW = [
    "15",
    "200",
    "cmpl-12be8428ebe74a9e8466a37bee7a9b11",
    "c34f3421-4dae-11ef-b237-9620e33511ee",
    "7134",
    "2024-07-29 21:30:53",
]


def test_table() -> None:
    """Columns have the expected width, whatever the first rows contain."""
    table = RunningTable(("id", "status", "model"), [["1", "200", "月之暗面"]], None)
    assert (table.head() + "\n" + table.row(["12", "timed_out", "月之暗面"]) + "\n" + table.foot()).split("\n") == [
        "+--------+---------------------+--------------------+",
        "| id     | status              | model              |",
        "+--------+---------------------+--------------------+",
        "| 12     | timed_out           | 月之暗面           |",
        "+--------+---------------------+--------------------+",
    ]


def test_a_pipe_gets_everything() -> None:
    """Without a terminal a cell that is too wide shifts its row, and is whole."""
    table = RunningTable(("model", "id"), [], None)
    assert table.row(["x" * 40, "1"]) == "| " + "x" * 40 + " | 1      |"


@pytest.mark.parametrize("width", [100, 120, 150, 200])
def test_rows_fit_the_terminal(width: int) -> None:
    """No row is wider than the terminal, and all have the same width."""
    table = RunningTable(DEFAULT, [], width)
    rows = [ROW, ["123456", "client_disconnected", "编号" * 30, "请求" * 30, "99999", "2024-07-29 21:30:53"]]
    lines = "\n".join([table.head(), *map(table.row, rows), table.foot()]).split("\n")
    assert len({wcswidth(line) for line in lines}) == 1
    assert wcswidth(lines[0]) <= width


def test_blocks() -> None:
    """On a terminal too narrow for a table each row is a block."""
    table = RunningTable(DEFAULT, [], 50)
    assert (table.head(), table.foot()) == ("", "")
    assert table.row(ROW).split("\n")[:3] == ["id             15", "status         200", f"chatcmpl       {ROW[2]}"]


def test_notes_are_cut() -> None:
    """On a terminal a row is one line."""
    table = RunningTable(("id", "note"), [], 40)
    assert table.row(["1", "the answer is right in every respect"]) == "| 1      | the answer is right in…  |"

"""Tests of how the list adapts to a terminal."""

# ruff: noqa: E501 - the tables expected are wide

import pytest
from wcwidth import wcswidth

from moonpalace_cli.views.listing.columns import DEFAULT as COLUMNS
from moonpalace_cli.views.listing.layout import lay_out
from tests.tables import for_each

DONE = [
    "15",
    "200",
    "cmpl-12be8428ebe74a9e8466a37bee7a9b11",
    "c34f3421-4dae-11ef-b237-9620e33511ee",
    "7134",
    "2024-07-29 21:30:53",
]
FAILED = ["14", "client_disconnected", "", "c13280e0-4dae-11ef-9c01-debcfc72949d", "", "2024-07-29 21:30:46"]

DOCUMENTED = """\
+----+--------+---------------------------------------+--------------------------------------+---------------+---------------------+
| id | status | chatcmpl                              | request_id                           | server_timing | requested_at        |
+----+--------+---------------------------------------+--------------------------------------+---------------+---------------------+
| 15 | 200    | cmpl-12be8428ebe74a9e8466a37bee7a9b11 | c34f3421-4dae-11ef-b237-9620e33511ee | 7134          | 2024-07-29 21:30:53 |
+----+--------+---------------------------------------+--------------------------------------+---------------+---------------------+"""

SHORTENED = """\
+----+--------+------------------+-----------------+---------------+---------------------+
| id | status | chatcmpl         | request_id      | server_timing | requested_at        |
+----+--------+------------------+-----------------+---------------+---------------------+
| 15 | 200    | cmpl-12b…e7a9b11 | c34f342…33511ee | 7134          | 2024-07-29 21:30:53 |
+----+--------+------------------+-----------------+---------------+---------------------+"""

CUT = """\
+----+-------------+-------------+-------------+---------+---------------------+
| id | status      | chatcmpl    | request_id  | server_ | requested_at        |
|    |             |             |             | timing  |                     |
+----+-------------+-------------+-------------+---------+---------------------+
| 15 | 200         | cmpl-…a9b11 | c34f3…511ee | 7134    | 2024-07-29 21:30:53 |
| 14 | client_dis… |             | c1328…2949d |         | 2024-07-29 21:30:46 |
+----+-------------+-------------+-------------+---------+---------------------+"""

BLOCKS = """\
id             15
status         200
chatcmpl       cmpl-12be8428ebe74a9e8466a37bee7a9b11
request_id     c34f3421-4dae-11ef-b237-9620e33511ee
server_timing  7134
requested_at   2024-07-29 21:30:53

id             14
status         client_disconnected
chatcmpl
request_id     c13280e0-4dae-11ef-9c01-debcfc72949d
server_timing
requested_at   2024-07-29 21:30:46"""


@pytest.mark.parametrize(
    ("rows", "width", "expected"),
    [
        ([DONE], None, DOCUMENTED),
        ([DONE], 132, DOCUMENTED),
        ([DONE], 90, SHORTENED),
        ([DONE, FAILED], 80, CUT),
        ([DONE, FAILED], 60, BLOCKS),
    ],
)
def test_list_fits_the_terminal(rows: list[list[str]], width: int | None, expected: str) -> None:
    """Ids shrink first, then headers are broken, and at last each call becomes a block."""
    assert lay_out(COLUMNS, rows, width) == expected


@for_each("width", range(20, 160, 7))
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    """No line of a table is wider than the terminal, even with Chinese text."""
    rows = [DONE, FAILED, ["1", "200", "编号" * 20, "请求" * 20, "1", "2024-07-29 21:30:46"]]
    table = lay_out(COLUMNS, rows, width)
    if table.startswith("+"):
        assert len({wcswidth(line) for line in table.split("\n")}) == 1
        assert wcswidth(table.split("\n")[0]) <= width


NOTE = """\
+----+-----------------+-----------------+-------+
| id | model           | note            |  ttft |
+----+-----------------+-----------------+-------+
| 7  | moonsho…preview | so is the rest… | 6.1ms |
| 8  | kimi-k2.6       | 回答得很好，没… |       |
+----+-----------------+-----------------+-------+"""


def test_a_row_is_one_line() -> None:
    """Names are shortened in the middle, other texts at the end of a word; numbers are right-aligned."""
    rows = [
        ["7", "moonshot-v1-128k-vision-preview", "so is the rest of it", "6.1ms"],
        ["8", "kimi-k2.6", "回答得很好，没有错误\n至少", ""],
    ]
    assert lay_out(("id", "model", "note", "ttft"), rows, 50) == NOTE


def test_a_colour_stays_around_what_is_cut() -> None:
    """A coloured cell is cut like any other, and its colour ends with it."""
    row = ["15", "\x1b[31mclient_disconnected\x1b[0m", *DONE[2:]]
    assert "\x1b[31mclient_dis…\x1b[0m" in lay_out(COLUMNS, [row], 80)


def test_a_pipe_gets_everything() -> None:
    """Without a terminal nothing is cut or joined."""
    assert lay_out(("id", "note"), [["7", "one\ntwo"]], None).split("\n")[3:5] == ["| 7  | one  |", "|    | two  |"]


def test_several_lines_in_a_block() -> None:
    """In blocks, the further lines of a cell are below its first."""
    assert lay_out(("id", "warnings"), [["7", "one\ntwo"]], 8) == "id        7\nwarnings  one\n          two"


def test_headers_of_their_own() -> None:
    """Headers may differ from the names of the columns, which determine how cells shrink."""
    text = lay_out(("model", "x"), [["moonshot-v1-128k-vision-preview", "1"]], 30, headers=("which", "how many"))
    assert text.split("\n")[1] == "| which           | how many |"


def test_the_mark_of_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without UTF-8 the ellipsis has the same width on every terminal."""
    monkeypatch.setattr("moonpalace_cli.output.is_utf8", lambda: False)
    assert "cmpl-12b~e7a9b11" in lay_out(COLUMNS, [DONE], 90)

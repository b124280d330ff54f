"""Tests of `mpal list`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from moonpalace_addons.store.tasks import State

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome, Store

# ruff: noqa: E501 - the tables expected are wide

EMPTY = """\
+----+--------+----------+------------+---------------+--------------+
| id | status | chatcmpl | request_id | server_timing | requested_at |
+----+--------+----------+------------+---------------+--------------+
+----+--------+----------+------------+---------------+--------------+
"""
TABLE = """\
+----+-----------------+-------------------------------------------+--------------------------------------+---------------+---------------------+
| id | status          | chatcmpl                                  | request_id                           | server_timing | requested_at        |
+----+-----------------+-------------------------------------------+--------------------------------------+---------------+---------------------+
| 3  | in_flight       |                                           |                                      |               | 2026-11-23 01:27:02 |
| 2  | upstream_failed |                                           |                                      |               | 2026-11-23 01:27:02 |
| 1  | 200             | chatcmpl-2e1aa823e2c94ebdad66450a0e6df088 | c07c118e-4dae-11ef-b423-62db244b9277 | 1033          | 2024-07-29 21:30:43 |
+----+-----------------+-------------------------------------------+--------------------------------------+---------------+---------------------+
"""
VERBOSE = """\
+----+-------------------------------------------+--------+--------+-------------------+------------------------+---------+---------------+------------------+---------------------+
| id | url                                       | method | status | chatcmpl          | request_id             | user_id | server_timing | content_type     | requested_at        |
+----+-------------------------------------------+--------+--------+-------------------+------------------------+---------+---------------+------------------+---------------------+
| 1  | https://api.moonshot.cn/v1/files?名=x%20y | GET    | 200    | chatcmpl-00000001 | req-00000001-aaaa-bbbb | u-test  | 101           | application/json | 2026-11-23 01:27:02 |
+----+-------------------------------------------+--------+--------+-------------------+------------------------+---------+---------------+------------------+---------------------+
"""


def fill(store: Store) -> None:
    """Store a documented call, a refused one and one under way."""
    store.add(
        started_at=datetime(2024, 7, 29, 13, 30, 43, tzinfo=UTC),
        chatcmpl_id="chatcmpl-2e1aa823e2c94ebdad66450a0e6df088",
        msh_request_id="c07c118e-4dae-11ef-b423-62db244b9277",
        server_timing=1033,
    )
    store.add(refused=True)
    store.add(refused=True, state=State.IN_FLIGHT, error_kind=None, error_message=None)


def test_documented_table(store: Store, mpal: Callable[..., Outcome]) -> None:
    """The newest call comes first; one without a whole answer shows its state."""
    fill(store)
    result = mpal("list")
    assert (result.code, result.out, result.err) == (0, TABLE, "")


def test_empty_store(store: Store, mpal: Callable[..., Outcome]) -> None:
    """An empty store gives an empty table, and no line of JSON."""
    assert mpal("list").out == EMPTY
    assert mpal("list", "--json").out == ""


def test_verbose_table(store: Store, mpal: Callable[..., Outcome]) -> None:
    """With -v there are url, method, user_id and content_type, and Chinese text keeps the frame straight."""
    store.add(method="GET", path="/v1/files", query="名=x%20y")
    assert mpal("list", "-v").out == VERBOSE
    assert mpal("list", "--verbose").out == VERBOSE


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], list(range(12, 2, -1))),
        (["-n", "2"], [12, 11]),
        (["--n", "100"], list(range(12, 0, -1))),
        (["--chatonly", "-n", "3"], [11, 9, 7]),
    ],
)
def test_which_calls(store: Store, mpal: Callable[..., Outcome], arguments: list[str], ids: list[int]) -> None:
    """Ten calls by default, as many as asked for with -n, chat completions alone with --chatonly."""
    for number in range(1, 13):
        store.add(path="/v1/chat/completions" if number % 2 else "/v1/models")
    lines = mpal("list", "--json", *arguments).out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


def test_json_lines(store: Store, mpal: Callable[..., Outcome]) -> None:
    """With --json every line is an object with typed values and the characters themselves."""
    store.add(model_answered="月之暗面", cached_tokens=3)
    out = mpal("list", "--json").out
    assert out == (
        '{"id": 1, "url": "https://api.moonshot.cn/v1/chat/completions", "method": "POST", "status": 200, '
        '"state": "completed", "model": "月之暗面", "chatcmpl": "chatcmpl-00000001", '
        '"request_id": "req-00000001-aaaa-bbbb", "user_id": "u-test", "server_timing": 101, '
        '"content_type": "application/json", "requested_at": "2026-11-23T01:27:02.000+08:00", "prompt_tokens": 11, '
        '"completion_tokens": 7, "total_tokens": 18, "cached_tokens": 3, "reasoning_tokens": null}\n'
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["-n", "0"],
            2,
            "Invalid value for '-n' / '--n': 0 is not in the range 1<=x<=2147483647 (see mpal list --help)",
        ),
        (["-n", "x"], 2, "Invalid value for '-n' / '--n': 'x' is not a valid integer range (see mpal list --help)"),
        (["-p", "id > 3"], 2, "--predicate is not built yet in this version of MoonPalace"),
        (["--export", "."], 2, "list --export is not built yet in this version of MoonPalace"),
        (["surplus"], 2, "Got unexpected extra argument (surplus) (see mpal list --help)"),
        (["--database", "/nowhere/x.sqlite"], 1, None),
    ],
)
def test_errors_are_one_line(
    store: Store, mpal: Callable[..., Outcome], arguments: list[str], code: int, message: str | None
) -> None:
    """Whatever is wrong is said in one line on standard error."""
    result = mpal("list", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    assert message is None or result.err == f"Error: {message}\n"


def test_ids_cannot_command_the_terminal(store: Store, mpal: Callable[..., Outcome]) -> None:
    """Control characters in what an API sent are shown, not obeyed."""
    store.add(chatcmpl_id="\x1b[2Jcmpl\n\x9b1m\u202e")
    row = mpal("list").out.splitlines()[3]
    assert "| \\u001b[2Jcmpl " in row
    assert "\x1b" not in mpal("list").out


def test_no_store_yet(mpal: Callable[..., Outcome]) -> None:
    """Before the first start, list says what to do."""
    result = mpal("list")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: there is no database at ")
    assert result.err.count("\n") == 1

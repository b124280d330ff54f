"""Tests of `mpal list`."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moonpalace_addons.store.query.times import EXAMPLES
from moonpalace_addons.store.records import labels
from moonpalace_addons.store.tasks import State
from tests.cli.conftest import Mpal, Store

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


INVALID, SEE = "Invalid value for", "(see mpal list --help)"


def fill(store: Store) -> None:
    """Store a documented call, a refused one and one in flight."""
    store.add(
        started_at=datetime(2024, 7, 29, 13, 30, 43, tzinfo=UTC),
        chatcmpl_id="chatcmpl-2e1aa823e2c94ebdad66450a0e6df088",
        msh_request_id="c07c118e-4dae-11ef-b423-62db244b9277",
        server_timing=1033,
    )
    store.add(refused=True)
    store.add(refused=True, state=State.IN_FLIGHT, error_kind=None, error_message=None)


def test_documented_table(store: Store, mpal: Mpal) -> None:
    """The newest call comes first; one without a complete answer shows its state."""
    fill(store)
    result = mpal("list")
    assert (result.code, result.out, result.err) == (0, TABLE, "")


def test_empty_store(store: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store gives a pipe the documented empty table, and no JSON; a terminal gets advice."""
    assert mpal("list").out == EMPTY
    assert mpal("list", "--json").out == ""
    monkeypatch.setattr("moonpalace_cli.views.listing.actions.is_terminal", lambda: True)
    assert mpal("list").out == "no call is stored yet: run mpal start and make a call through it\n"
    assert mpal("list", "--failed").out == "no calls match\n"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("jsonl", '{"id": 2, "model": "月之暗面", "tags": []}\n{"id": 1, "model": "kimi-k3", "tags": ["a", "b"]}\n'),
        (
            "json",
            '[\n{"id": 2, "model": "月之暗面", "tags": []},\n{"id": 1, "model": "kimi-k3", "tags": ["a", "b"]}\n]\n',
        ),
        ("csv", 'id,model,tags\n2,月之暗面,[]\n1,kimi-k3,"[""a"", ""b""]"\n'),
        ("yaml", "- id: 2\n  model: 月之暗面\n  tags: []\n- id: 1\n  model: kimi-k3\n  tags:\n  - a\n  - b\n"),
    ],
)
def test_forms(store: Store, mpal: Mpal, form: str, expected: str) -> None:
    """Programs get the same records in their format; --json is jsonl."""
    store.add()
    store.add(model_answered="月之暗面")
    mpal("label", "1", "--tag", "b", "--tag", "a")
    arguments = ("list", "--columns", "id,model,tags")
    assert mpal(*arguments, "-o", form).out == expected
    assert mpal(*arguments, "--json") == mpal(*arguments, "-o", "jsonl")
    assert mpal(*arguments, "-o", "table") == mpal(*arguments)
    empty = {"json": "[]\n", "yaml": "[]\n"}
    assert mpal(*arguments, "--model", "none", "-o", form).out == empty.get(form, "")


def test_forms_that_do_not_fit(store: Store, mpal: Mpal) -> None:
    """A list without end cannot be an array, and --json is only one form."""
    assert "--watch never ends: use -o jsonl, not json" in mpal("list", "--watch", "-o", "json").err
    assert "--follow never ends: use -o jsonl, not csv" in mpal("log", "-f", "-o", "csv").err
    assert "--json means -o jsonl" in mpal("list", "--json", "-o", "csv").err


def test_verbose_table(store: Store, mpal: Mpal) -> None:
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
def test_which_calls(store: Store, mpal: Mpal, arguments: list[str], ids: list[int]) -> None:
    """Ten calls by default, another number with -n, only chat completions with --chatonly."""
    for number in range(1, 13):
        store.add(path="/v1/chat/completions" if number % 2 else "/v1/models")
    lines = mpal("list", "--json", *arguments).out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


def test_json_lines(store: Store, mpal: Mpal) -> None:
    """With --json every line is an object with typed values and unescaped characters."""
    store.add(model_answered="月之暗面", cached_tokens=3)
    out = mpal("list", "--json").out
    assert out == (
        '{"id": 1, "url": "https://api.moonshot.cn/v1/chat/completions", "method": "POST", "status": 200, '
        '"state": "completed", "error_kind": null, "model": "月之暗面", "chatcmpl": "chatcmpl-00000001", '
        '"request_id": "req-00000001-aaaa-bbbb", "user_id": "u-test", "server_timing": 101, '
        '"content_type": "application/json", "requested_at": "2026-11-23T01:27:02.000+08:00", "prompt_tokens": 11, '
        '"completion_tokens": 7, "total_tokens": 18, "cached_tokens": 3, "reasoning_tokens": null, '
        '"category": null, "tags": [], "note": null}\n'
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["-n", "-1"],
            2,
            "Invalid value for '-n' / '--n': '-1' must be a whole number, 0 or more (see mpal list --help)",
        ),
        (
            ["-n", "x"],
            2,
            "Invalid value for '-n' / '--n': 'x' must be a whole number, 0 or more (see mpal list --help)",
        ),
        (["--columns", "id,modle"], 2, f"{INVALID} '--columns': there is no column 'modle'; did you mean model? {SEE}"),
        (["--sort", "request_body"], 2, f"{INVALID} '--sort': cannot sort by request_body {SEE}"),
        (["--since", "soon"], 2, f"{INVALID} '--since': 'soon' is not a time: write {EXAMPLES} {SEE}"),
        (["--watch", "--stats"], 2, f"--stats and --watch exclude each other {SEE}"),
        (["--count", "--stats"], 2, f"--count and --stats exclude each other {SEE}"),
        (["--count", "-n", "3"], 2, f"--count and --n exclude each other {SEE}"),
        (["--stats", "--columns", "id"], 2, f"--stats and --columns exclude each other {SEE}"),
        (["--watch", "--sort", "id"], 2, f"--watch and --sort exclude each other {SEE}"),
        (["--watch", "--export", "x"], 2, f"--watch and --export exclude each other {SEE}"),
        (["-v", "--columns", "id"], 2, f"--columns and --verbose exclude each other {SEE}"),
        (["--redact"], 2, f"--redact is for --export {SEE}"),
        (["surplus"], 2, "mpal list takes no argument 'surplus' (see mpal list --help)"),
        (["--database", "/nowhere/x.sqlite"], 1, None),
    ],
)
def test_errors_are_one_line(store: Store, mpal: Mpal, arguments: list[str], code: int, message: str | None) -> None:
    """Every error is one line on standard error."""
    result = mpal("list", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    assert message is None or result.err == f"Error: {message}\n"


def test_ids_cannot_command_the_terminal(store: Store, mpal: Mpal) -> None:
    """Control characters from an API are shown escaped."""
    store.add(chatcmpl_id="\x1b[2Jcmpl\n\x9b1m\u202e")
    row = mpal("list").out.splitlines()[3]
    assert "| \\u001b[2Jcmpl " in row
    assert "\x1b" not in mpal("list").out


def test_no_store_yet(mpal: Mpal) -> None:
    """Before the first start, list says what to do."""
    result = mpal("list")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: there is no database at ")
    assert result.err.count("\n") == 1


def add_many(store: Store) -> None:
    """Store calls of several models, lengths, ends and times; two of them with labels."""
    for number in range(1, 6):
        store.add(
            latency=number % 3 * 10**9 + number,
            model_answered=("kimi-k3", "kimi-k2")[number % 2],
            path="/v1/chat/completions" if number < 4 else "/v1/models",
            started_at=datetime(2026, 11, 20 + number, tzinfo=UTC),
        )
    labels.change(store.engine, [2], labels.Change(category="goodcase", tag=("code", "代码"), note="很好"))


COLUMNS = """\
+----+----------+------------+---------+---------+
| id | category | tags       | latency | model   |
+----+----------+------------+---------+---------+
| 3  |          |            |     0us | kimi-k2 |
| 2  | goodcase | code, 代码 |   2.00s | kimi-k3 |
| 1  |          |            |   1.00s | kimi-k2 |
+----+----------+------------+---------+---------+
"""


def test_columns(store: Store, mpal: Mpal) -> None:
    """Any columns can be shown, in any order, including labels; Chinese tags keep the frame straight."""
    add_many(store)
    result = mpal("list", "--chatonly", "--columns", "id,category,tags", "--columns", "latency,model,id")
    assert (result.code, result.out, result.err) == (0, COLUMNS, "")


def test_columns_in_json(store: Store, mpal: Mpal) -> None:
    """JSON has the selected columns with their types; bodies are JSON themselves."""
    store.add(request=b'{"b": 1.10,\n "a": 2}', response=b"<html>\n")
    result = mpal("list", "--json", "--columns", "id,tags,request_body,response_body")
    assert result.out == '{"id": 1, "tags": [], "request_body": {"b": 1.10,  "a": 2}, "response_body": "<html>\\n"}\n'


def test_verbose_shows_labels(store: Store, mpal: Mpal) -> None:
    """With -v labels have columns if any of the calls has some, else the table is the documented one."""
    add_many(store)
    with_labels = mpal("list", "-v").out.splitlines()
    assert with_labels[1].endswith("| requested_at        | category | tags       |")
    without = mpal("list", "-v", "-n", "2").out.splitlines()
    assert without[1].endswith("| requested_at        |")


NOTE = "no index serves this order: every call was read\n"


@pytest.mark.parametrize(
    ("arguments", "ids", "note"),
    [
        (["--sort", "-latency"], [5, 2, 4, 1, 3], NOTE),
        (["--sort", "latency", "-n", "2"], [3, 1], NOTE),
        (["--sort", "id", "-n", "2"], [1, 2], ""),
        (["--sort", "-requested_at", "-n", "1"], [5], ""),
        (["--sort", "model"], [5, 3, 1, 4, 2], NOTE),
        (["--since", "2026-11-23"], [5, 4, 3], ""),
        (["--since", "2026-11-23", "--chatonly"], [3], ""),
        (["--predicate", "model == 'kimi-k2'", "--since", "2026-11-23"], [5, 3], ""),
        (["-p", "id > 1", "-p", "id < 4"], [3, 2], ""),
        (["-p", "tags == 'code'"], [2], ""),
    ],
)
def test_order_and_choice(
    store: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch, arguments: list[str], ids: list[int], note: str
) -> None:
    """All calls are sorted and then limited; if that takes long, the reason is printed; conditions are combined."""
    add_many(store)
    assert mpal("list", "--json", *arguments).err == ""
    monkeypatch.setattr("moonpalace_cli.views.listing.actions.LONG", 0.0)
    result = mpal("list", "--json", *arguments)
    assert ([json.loads(line)["id"] for line in result.out.splitlines()], result.err) == (ids, note)


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ([], "5\n"),
        (["--json"], '{"count": 5}\n'),
        (["--since", "2026-11-23"], "3\n"),
        (["--chatonly", "-p", "id > 1"], "2\n"),
    ],
)
def test_count(store: Store, mpal: Mpal, arguments: list[str], out: str) -> None:
    """--count counts all calls that meet all conditions."""
    add_many(store)
    assert mpal("list", "--count", *arguments).out == out


def test_stats(store: Store, mpal: Mpal) -> None:
    """--stats sums all calls that meet all conditions, or the newest of them."""
    add_many(store)
    document = json.loads(mpal("list", "--stats", "--json", "--chatonly").out)
    assert [(model["model"], model["calls"]) for model in document["models"]] == [("kimi-k2", 2), ("kimi-k3", 1)]
    assert json.loads(mpal("list", "--stats", "--json", "-n", "2").out)["calls"] == 2
    assert json.loads(mpal("list", "--stats", "--json", "-p", "id == 5").out)["latency_ms"]["p50"] == 2000.0
    assert "| all calls |     5 " in mpal("list", "--stats").out


def test_export(store: Store, mpal: Mpal, tmp_path: Path) -> None:
    """--export also writes each of the calls into a folder; without calls nothing is written."""
    store.add(request=b'{"text": "<b>"}')
    store.add(chatcmpl_id=None)
    result = mpal("list", "--export", str(tmp_path / "out"), "--escape-html", "--columns", "id")
    assert (result.code, result.err) == (0, f"exported 2 calls into {tmp_path / 'out'}\n")
    assert result.out.count("\n") == 6
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert "\\u003cb\\u003e" in (tmp_path / "out" / "chatcmpl-00000001.json").read_text()
    assert mpal("list", "--export", str(tmp_path / "none"), "-p", "id > 9").code == 0
    assert not (tmp_path / "none").exists()


def test_all_calls(store: Store, mpal: Mpal, tmp_path: Path) -> None:
    """`-n 0` lists all, and `--export` exports all matching calls, unless `-n` says how many."""
    for number in range(25):
        store.add(chatcmpl_id=f"chatcmpl-{number}", latency=number)
    assert len(mpal("list", "--json").out.splitlines()) == 10
    assert len(mpal("list", "--json", "-n", "0").out.splitlines()) == 25
    assert len(mpal("list", "--json", "-n", "0", "-p", "latency < 20").out.splitlines()) == 20
    assert json.loads(mpal("list", "--stats", "--json", "-n", "0").out)["calls"] == 25
    for flags, exported in ([], 25), (["-p", "latency < 20ns"], 20), (["-n", "3"], 3), (["-n", "0"], 25):
        folder = tmp_path / f"out{exported}{len(flags)}"
        assert mpal("list", "--export", str(folder), *flags).err == f"exported {exported} calls into {folder}\n"
        assert len(list(folder.iterdir())) == exported


def test_a_predicate_with_a_mistake(store: Store, mpal: Mpal) -> None:
    """A mistake in a predicate is reported before anything is printed."""
    result = mpal("list", "-p", "modle == 3")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: predicate: ")


REPORT = """
import sys
from moonpalace_cli.main import main
for options in [], ["--columns", "id,model,ttft"], ["--sort", "-id"], ["--count"], ["--json"]:
    assert main(["list", *options, "--database", sys.argv[1]]) == 0
print(*sorted({name.partition(".")[0] for name in sys.modules}), *sorted(sys.modules), file=sys.stderr)
"""
HEAVY = {
    *("lark", "zstandard", "alembic", "wcwidth.wcwidth", "difflib"),
    *("mitmproxy", "tornado", "OpenSSL", "cryptography", "msgspec"),
}


def test_what_is_not_needed_is_not_imported(store: Store) -> None:
    """A list imports neither the proxy, the parser, the compression, the migrations nor the widths of characters."""
    store.add()
    paths = os.pathsep.join(path for path in sys.path if path)
    ran = subprocess.run(
        [sys.executable, "-c", REPORT, str(store.engine.url.database)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(ran.stderr.split())
    assert "sqlalchemy" in imported
    assert imported & HEAVY == set()
    assert not {name for name in imported if name.startswith(("ssl", "asyncio.", "sqlalchemy.dialects.postgresql"))}

"""Predicates on the original's database after the upgrade: compared with the original's output, and with plain SQL."""

import csv
import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges
from tests.cli.conftest import Mpal

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12"


def runs() -> list[tuple[str, int, list[str]]]:
    """Return the original's runs with predicates: name, exit code, arguments."""
    with (REFERENCE / "cli" / "commands.tsv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(name, int(code), split(line)) for name, code, line in rows if "--predicate" in line]


def split(line: str) -> list[str]:
    """Return the arguments of a line with the unquoted predicate at its end."""
    flags, _, predicate = line.partition(" --predicate ")
    return [*shlex.split(flags), "--predicate", predicate]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a folder for all tests."""
    return tmp_path_factory.mktemp("upgraded")


@pytest.fixture
def upgraded(tmp_path: Path, shared: Path) -> Path:
    """Provide the original's database, upgraded by the first test, in its time zone, where `mpal` expects its store."""
    file, once = tmp_path / "home" / "moonpalace.sqlite", shared / "moonpalace.sqlite"
    if not once.exists():
        shutil.copyfile(REFERENCE / "moonpalace.sqlite", once)
        open_store(f"sqlite:///{once}").dispose()
    file.parent.mkdir(mode=0o700)
    return Path(shutil.copy(once, file))


def ids(table: str) -> list[str]:
    """Return the ids in a table."""
    return re.findall(r"^\| (\d+) ", table, re.MULTILINE)


def test_the_runs_are_there() -> None:
    """There are runs with predicates to compare, including an invalid one."""
    assert {code for _, code, _ in runs()} == {0, 2}
    assert len(runs()) == 5


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize(
    ("name", "code", "arguments"), runs(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_run_of_the_original(mpal: Mpal, name: str, code: int, arguments: list[str]) -> None:
    """A predicate finds the original's calls, newest first; an invalid one has its exit code."""
    result = mpal(*arguments)
    assert result.code == code
    assert ids(result.out) == ids((REFERENCE / "cli" / f"{name}.out").read_text(encoding="utf-8"))
    assert ("syntax error" in result.err) is (code == 2)


JSON = "CASE WHEN json_valid(request_body) THEN"
# Each beside the condition that says the same in the SQL of the original's table.
SAME = [
    ("request_method == 'GET'", "request_method = 'GET'"),
    ("request_method != 'GET'", "request_method != 'GET'"),
    ("moonshot_id", "moonshot_id <> ''"),
    ("chatcmpl ~ '*7'", "moonshot_id LIKE '%7'"),
    ("request_id == 'req-00000008-aaaa-bbbb'", "moonshot_request_id = 'req-00000008-aaaa-bbbb'"),
    ("server_timing >= 110 && server_timing < 120", "moonshot_server_timing >= 110 AND moonshot_server_timing < 120"),
    ("response_status_code > 399", "response_status_code > 399"),
    ("request_path !~ 'chat'", "request_path NOT LIKE '%chat%'"),
    ("request_query ~ 'x%y'", "request_query LIKE '%x%y%'"),
    ("request_body.model == 'plain-sse'", f"{JSON} request_body ->> 'model' END = 'plain-sse'"),
    ("request_body.stream == true", f"{JSON} json_type(request_body, '$.stream') END = 'true'"),
    ("request_body.stream == NULL", f"{JSON} json_type(request_body, '$.stream') END IS NULL"),
    ("request_body.messages.0.content ~ '你好'", f"{JSON} request_body ->> '$.messages[0].content' END LIKE '%你好%'"),
    ("created_at >= '2026-11-23 01:27:04'", "created_at >= '2026-11-23 01:27:04'"),
    ("requested_at < '2026-11-23 01:27:03'", "created_at < '2026-11-23 01:27:03'"),
]


@pytest.mark.parametrize(("predicate", "sql"), SAME)
def test_predicate_and_sql_find_the_same(upgraded: Path, predicate: str, sql: str) -> None:
    """A predicate on the upgraded rows finds the same as SQL on the original's, and never nothing."""
    from moonpalace_addons.store.query.condition import condition

    with closing(sqlite3.connect(REFERENCE / "moonpalace.sqlite")) as original:
        expected = [
            row for (row,) in original.execute(f"SELECT id FROM moonshot_requests WHERE {sql} ORDER BY id DESC")
        ]
    assert expected
    engine = open_store(f"sqlite:///{upgraded}")
    result = exchanges.latest(engine, limit=None, where=condition([predicate], engine))
    engine.dispose()
    assert [call.id for call in result] == expected

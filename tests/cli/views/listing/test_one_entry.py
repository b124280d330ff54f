"""Tests that an entry of the catalogue is all that a new field needs."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.cli.conftest import Store

COMPUTED = """
    Field(
        "time from the first token to the first one that is shown",
        "从首个 token 到首个可见 token 的时间",
        name="thinking",
        after="category",
        kind="whole",
        unit=NANOSECOND,
        also="pondering",
        sql="exchanges.time_to_first_visible_token - exchanges.time_to_first_token",
        value=lambda call: call.time_to_first_token and call.time_to_first_visible_token - call.time_to_first_token,
        metadata=True,
    ),
"""
STORED = """
    client_language: str | None = stored("language of the client", "客户端的语言", also="tongue", metadata=True)
"""
CARRIED = """
    client_age: int | None = stored("age of the client", "客户端的年龄", carried=True)
"""
SECOND_SECTION = "    status_code: int | None = stored("
"""The attributes of `Exchange` after the first section."""
SCRIPT = """
import contextlib, io, json, sys
from importlib.util import find_spec, module_from_spec
name, place, entry, commands, part = sys.argv[1:]
spec = find_spec(name)
source = open(spec.origin, encoding="utf-8").read()
assert source.count(place) == 1
module = sys.modules[spec.name] = module_from_spec(spec)
exec(compile(source.replace(place, entry + place), spec.origin, "exec"), module.__dict__)

import click
from moonpalace_addons.store.fields import find
from moonpalace_cli.flags import name_lists
from moonpalace_cli.main import main
from moonpalace_cli.web.texts import translator

printed = []
for arguments in json.loads(commands):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")) as out:
        main(arguments)
    out.flush()
    printed.append(out.buffer.getvalue().decode())
context = click.Context(click.Command("list"))
for complete in (name_lists.complete_columns, name_lists.complete_order, name_lists.complete_fields):
    printed.append(complete(context, click.Option(["-x"]), part))
print(json.dumps([*printed, translator("zh")(find(printed[-1][0]).meaning)]))
"""


def printed(module: str, place: str, entry: str, commands: Sequence[Sequence[str]], part: str) -> list[Any]:
    """Return the output of the commands and the three completions with the new entry and its Chinese."""
    command = [sys.executable, "-c", SCRIPT, f"moonpalace_addons.store.{module}", place, entry]
    ended = subprocess.run([*command, json.dumps(commands), part], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return list(json.loads(ended.stdout))


def test_a_computed_field(store: Store) -> None:
    """It is listed, sorted by, searched, explained, inspected, completed and translated."""
    for shown in (None, 3_000_000, 9_000_000):
        first = None if shown is None else 2_000_000
        store.add(time_to_first_token=first, time_to_first_visible_token=shown)
    commands = (
        ("list", "--json", "--columns", "id,thinking", "--sort", "-pondering"),
        ("list", "--columns", "id,thinking", "--sort", "pondering"),
        ("list", "--json", "--columns", "id", "-p", "thinking > 2ms"),
        ("predicate", "thinking > 2"),
        ("help", "columns"),
        ("inspect", "--id", "2", "--json"),
    )
    place = '    Field("request body"'
    as_json, table, searched, explained, page, inspected, *completed, chinese = printed(
        "fields", place, COMPUTED, commands, "thin"
    )
    assert [json.loads(line) for line in as_json.splitlines()] == [
        {"id": 3, "thinking": 7_000_000},
        {"id": 2, "thinking": 1_000_000},
        {"id": 1, "thinking": None},
    ]
    cells = [line.split("|")[2].strip() for line in table.splitlines() if line.startswith("|")]
    assert cells == ["thinking", "1.0ms", "7.0ms", ""]
    assert searched == '{"id": 3}\n'
    assert "time_to_first_visible_token - " in explained
    assert "from the first token to the first one that is shown (ns; also\n" in page
    assert json.loads(inspected)["metadata"]["thinking"] == "1"
    assert completed == [["thinking"]] * 3
    assert chinese == "从首个 token 到首个可见 token 的时间"


def with_column(store: Store, place: Path, column: str, values: Sequence[object]) -> Path:
    """Store a call for each value of a new column, and return an empty store that has the column, too."""
    other = place / "other.sqlite"
    file = store.engine.url.database
    assert file
    for _ in values:
        store.add()
    store.engine.dispose()
    with closing(sqlite3.connect(file)) as connection, closing(sqlite3.connect(other)) as copy:
        connection.execute(f"ALTER TABLE exchanges ADD COLUMN {column}")
        connection.backup(copy)
        copy.execute("DELETE FROM exchanges")
        copy.commit()
        for number, value in enumerate(values, 1):
            connection.execute(f"UPDATE exchanges SET {column.split()[0]} = ? WHERE id = ?", (value, number))
        connection.commit()
    return other


def test_a_stored_field(store: Store, tmp_path: Path) -> None:
    """Exports and imports have it, too, and redaction replaces personal data in it."""
    other = str(with_column(store, tmp_path, "client_language TEXT", [None, "zh of ann@example.com"]))
    exports = [str(tmp_path / name) for name in ("plain.json", "redacted.json")]
    columns = ("--json", "--columns", "id,client_language")
    commands = (
        ("list", *columns, "--sort", "client_language"),
        ("list", *columns, "-p", "tongue ~ 'ann'"),
        ("help", "columns"),
        ("inspect", "--id", "2", "--json"),
        ("export", "2", "-o", exports[0]),
        ("export", "2", "-o", exports[1], "--redact"),
        ("import", exports[0], "--database", other),
        ("list", *columns, "--database", other),
    )
    listed, searched, page, inspected, *_, imported, columns_found, order_found, fields_found, chinese = printed(
        "exchange", SECOND_SECTION, STORED, commands, "client_l"
    )
    found = {"id": 2, "client_language": "zh of ann@example.com"}
    assert [json.loads(line) for line in listed.splitlines()] == [found, {"id": 1, "client_language": None}]
    assert json.loads(searched) == found
    assert "language of the client (also tongue)" in page
    assert json.loads(inspected)["metadata"]["client_language"] == "zh of ann@example.com"
    assert json.loads(imported)["client_language"] == "zh of ann@example.com"
    redacted = json.loads(Path(exports[1]).read_text())["metadata"]["client_language"]
    assert redacted.startswith("zh of email-")
    assert columns_found == order_found == fields_found == ["client_language"]
    assert chinese == "客户端的语言"


def test_a_carried_field(store: Store, tmp_path: Path) -> None:
    """A field that neither metadata nor headers and bodies contain is among an export's fields."""
    other, export = str(with_column(store, tmp_path, "client_age BIGINT", [40])), str(tmp_path / "export.json")
    commands = (
        ("export", "1", "-o", export),
        ("import", export, "--database", other),
        ("list", "--json", "--columns", "client_age", "--database", other),
    )
    _, _, listed, *_, chinese = printed("exchange", SECOND_SECTION, CARRIED, commands, "client_a")
    assert (json.loads(listed), chinese) == ({"client_age": 40}, "客户端的年龄")

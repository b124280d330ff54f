"""Tests that an entry of the catalogue is all that a new field needs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Store

ENTRY = """
        nanoseconds(
            "thinking",
            "time from the first token to the first one that is shown",
            also="pondering",
            sql="exchanges.time_to_first_visible_token - exchanges.time_to_first_token",
            value=lambda call: call.time_to_first_token and call.time_to_first_visible_token - call.time_to_first_token,
            metadata="thinking",
        ),
"""
SCRIPT = """
import contextlib, io, json, sys
from importlib.util import find_spec, module_from_spec
spec = find_spec("moonpalace_addons.store.fields")
place = '    "Labels": ('
source = open(spec.origin, encoding="utf-8").read()
assert source.count(place) == 1
module = sys.modules[spec.name] = module_from_spec(spec)
exec(compile(source.replace(place, place + sys.argv[1]), spec.origin, "exec"), module.__dict__)

import click
from moonpalace_cli.flags import name_lists
from moonpalace_cli.main import main

printed = []
for arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")) as out:
        main(arguments)
    out.flush()
    printed.append(out.buffer.getvalue().decode())
context = click.Context(click.Command("list"))
for complete in (name_lists.complete_columns, name_lists.complete_order, name_lists.complete_fields):
    printed.append(complete(context, click.Option(["-x"]), "thin"))
print(json.dumps(printed))
"""
COMMANDS = (
    ("list", "--json", "--columns", "id,thinking", "--sort", "-pondering"),
    ("list", "--columns", "id,thinking", "--sort", "pondering"),
    ("list", "--json", "--columns", "id", "-p", "thinking > 2ms"),
    ("predicate", "thinking > 2"),
    ("help", "columns"),
    ("inspect", "--id", "2", "--json"),
)


@pytest.fixture
def printed(store: Store) -> list[Any]:
    """Give what the commands and the three completions print where the field has been added."""
    for shown in (None, 3_000_000, 9_000_000):
        first = None if shown is None else 2_000_000
        store.add(time_to_first_token=first, time_to_first_visible_token=shown)
    command = [sys.executable, "-c", SCRIPT, ENTRY, json.dumps(COMMANDS)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(found.stdout))


def test_a_new_field(printed: list[Any]) -> None:
    """It is listed, sorted by, searched, explained, inspected and completed."""
    as_json, table, searched, explained, page, inspected, *completed = printed
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

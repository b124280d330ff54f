"""Each command with a table prints the same records for programs, as JSON, JSON Lines, CSV and YAML."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import click
import pytest
import yaml

from moonpalace_cli.main import COMMANDS, cli
from tests.cli.conftest import Mpal, Store

BODY = json.dumps({"model": "kimi-k3", "messages": [{"role": "user", "content": "月"}]}).encode()
EVENTS = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'
TABLES = (
    *("list", "list --columns id,tags,request_body", "list --count", "list --stats", "log", "label 1 2", "cost"),
    *(
        "cache list",
        "cache why --all",
        "cache why 2",
        "inspect 1",
        "inspect --last 2",
        "inspect 2 --timeline",
        "config",
    ),
    *("report --list", "doctor", "doctor --secrets"),
)


@pytest.fixture
def calls(store: Store) -> None:
    """Store two calls of a conversation, the second streamed and with a password in it."""
    store.add(request=BODY, response=b"{}", cost=0.5, cost_currency="USD", cached_tokens=0)
    message = [*json.loads(BODY)["messages"], {"role": "user", "content": "password=hunter2x"}]
    request = json.dumps({"model": "kimi-k3", "messages": message}).encode()
    store.add(request=request, events=EVENTS, chunks=[(len(EVENTS), 5_000_000)], is_stream=True, cached_tokens=0)


def records(text: str, form: str) -> Any:
    """Return the printed records."""
    if form == "json":
        return json.loads(text)
    if form == "yaml":
        return yaml.safe_load(text)
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("command", TABLES)
def test_forms(command: str, calls: None, mpal: Mpal) -> None:
    """Each form has the same records; a single object is one record."""
    printed = {form: mpal(*command.split(" "), "-o", form) for form in ("json", "jsonl", "yaml", "csv")}
    assert {result.code for result in printed.values()} <= ({0, 1} if "doctor" in command else {0})
    found = records(printed["json"].out, "json")
    assert without_times(records(printed["yaml"].out, "yaml")) == without_times(found)
    rows = found if isinstance(found, list) else [found]
    assert without_times(records(printed["jsonl"].out, "jsonl")) == without_times(rows)
    if command != "list --stats":  # as CSV a row for each model
        read = list(csv.DictReader(io.StringIO(printed["csv"].out)))
        assert [[*row] for row in read] == [[*row] for row in rows]
    assert mpal(*command.split(" "), "-o", "table") == mpal(*command.split(" ")) or command == "doctor --secrets"


def without_times(found: object) -> object:
    """Return the output without the free disk space, which may change."""
    if isinstance(found, list):
        return [without_times(each) for each in found]
    return {name: value for name, value in found.items() if name != "free_disk"} if isinstance(found, dict) else found


def test_statistics_as_rows(calls: None, mpal: Mpal) -> None:
    """As CSV, statistics are a row for each model with each number in its own column."""
    (row,) = csv.DictReader(io.StringIO(mpal("list", "--stats", "-o", "csv").out))
    assert (row["model"], row["calls"], row["latency_ms_p50"], row["costs"]) == (
        "kimi-k3",
        "2",
        "1.676",
        '{"USD": 0.5}',
    )


def with_forms(command: click.Command, name: str) -> Iterator[str]:
    """Yield the names of commands and subcommands with the option -o."""
    if any(option.name == "form_name" for option in command.params):
        yield name
    if isinstance(command, click.Group):
        for each, inner in command.commands.items():
            yield from with_forms(inner, f"{name} {each}")


def test_every_command_with_a_table_is_tried() -> None:
    """Every command with -o is in the table of this test."""
    with click.Context(cli) as context:
        commands = [(name, cli.get_command(context, name)) for name in COMMANDS]
    found = {each for name, command in commands if command is not None for each in with_forms(command, name)}
    assert found == {each for each in found if any(table == each or table.startswith(f"{each} ") for table in TABLES)}
    assert len(found) == 10


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("inspect 1 --json -o yaml", "--json and -o yaml exclude each other"),
        ("inspect 1 -o csv --chat", "--chat and -o csv exclude each other"),
        ("inspect 1 -o json --print metadata", "-o json prints everything: leave out --print"),
        ("doctor --json -o csv", "--json and -o csv exclude each other"),
        ("inspect 1 -o csv --timeline", "call 1 has no stream"),
    ],
)
def test_forms_that_do_not_fit(command: str, message: str, calls: None, mpal: Mpal) -> None:
    """One line says which flags exclude each other."""
    result = mpal(*command.split(" "))
    assert (result.code in (1, 2), result.out) == (True, "")
    assert message in result.err

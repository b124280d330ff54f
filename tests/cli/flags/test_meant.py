"""Tests of mistyped flags and commands, of aliases, and of flags with one meaning everywhere."""

import json
from pathlib import Path

import click
import pytest

from moonpalace_cli.flags.meant import ALIASES, COMMANDS, FLAGS
from moonpalace_cli.main import COMMANDS as THERE
from moonpalace_cli.main import SUBCOMMANDS, cli
from tests.cli.conftest import Mpal, Store


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--limit", "3"], "no option --limit; did you mean --n?"),
        (["list", "--filter", "x"], "no option --filter; did you mean --predicate?"),
        (["list", "--search", "x"], "no option --search; did you mean --grep?"),
        (["list", "--tail"], "no option --tail; did you mean --watch?"),
        (["log", "--tail"], "no option --tail; did you mean --follow?"),
        (["list", "--errors"], "no option --errors; did you mean --failed?"),
        (["list", "--truncated"], "no option --truncated; did you mean --cut?"),
        (["list", "--after", "x"], "no option --after; did you mean --since?"),
        (["list", "--before", "x"], "no option --before; did you mean --until?"),
        (["list", "--code", "4"], "no option --code; did you mean --status?"),
        (["list", "--colums", "x"], "no option --colums; did you mean --columns"),
        (["list", "--db", "x"], "no option --db; did you mean --database?"),
        (["inspect", "--latest"], "no option --latest; did you mean --last?"),
        (["inspect", "--messages"], "no option --messages; did you mean --chat?"),
        (["start", "--api-key", "x"], "no option --api-key; did you mean --key?"),
        (["start", "--upstream", "x"], "no option --upstream; did you mean --endpoint?"),
        (["export", "--folder", "x"], "no option --folder; did you mean --directory or --export?"),
        (["list", "--zzzz"], "no option --zzzz (see"),
        (["search", "x"], "no command 'search'; did you mean list --grep or list --predicate?"),
        (["delete"], "no command 'delete'; did you mean cleanup?"),
        (["logs"], "no command 'logs'; did you mean log or list?"),
        (["insepct"], "no command 'insepct'; did you mean inspect?"),
    ],
)
def test_suggestions(mpal: Mpal, arguments: list[str], message: str) -> None:
    """Names in other tools come first, then similar spellings."""
    result = mpal(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_what_is_suggested_exists() -> None:
    """Every suggested command exists, and every suggested flag belongs to some command; no word is a real command."""
    commands = {name: cli.get_command(click.Context(cli), name) for name in THERE}
    flags = {flag for command in commands.values() if command for each in command.params for flag in each.opts}
    assert {name.split()[0] for meant in COMMANDS.values() for name in meant} <= set(THERE)
    assert {flag for meant in FLAGS.values() for flag in meant} <= flags
    assert not set(COMMANDS) & {*THERE, *ALIASES}
    assert isinstance(commands["cache"], click.Group)
    assert set(SUBCOMMANDS) == set(commands["cache"].commands)


def test_aliases(store: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ls` is list, `tail` follows the log, `version` is --version."""
    store.add()
    assert mpal("ls") == mpal("list")
    assert mpal("version") == mpal("--version")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moonpalace_cli.views.listing.actions.time.sleep", interrupted)
    result = mpal("tail", "-n", "5")
    assert (result.code, result.out.count("\n")) == (130, 1)


def test_the_database_before_any_command(store: Store, mpal: Mpal, tmp_path: Path) -> None:
    """--database before a command applies to it, unless it has its own; also for subcommands and aliases."""
    store.add()
    here, missing = str(store.engine.url.database), str(tmp_path / "missing.sqlite")
    assert json.loads(mpal("--database", here, "ls", "--json").out)["id"] == 1
    assert mpal("--database", missing, "list").code == 1
    assert mpal("--database", missing, "list", "--database", here).code == 0
    assert mpal("--database", missing, "cache", "list").code == 1
    assert mpal("--database", here, "cache", "list").code == 0


@pytest.mark.parametrize("flag", ["--export", "--directory"])
def test_one_name_for_a_folder(store: Store, mpal: Mpal, tmp_path: Path, flag: str) -> None:
    """List and export accept a folder under both documented names."""
    store.add()
    assert mpal("list", flag, str(tmp_path / "a")).code == 0
    assert mpal("export", "1", flag, str(tmp_path / "b")).code == 0
    assert len(list((tmp_path / "a").iterdir())) == len(list((tmp_path / "b").iterdir())) == 1


def test_both_spellings_of_the_request_id(store: Store, mpal: Mpal) -> None:
    """--requestid and --request-id are the same."""
    store.add()
    by = ("req-00000001-aaaa-bbbb", "--json")
    assert mpal("inspect", "--request-id", *by) == mpal("inspect", "--requestid", *by)

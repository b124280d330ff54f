"""Commands for flows."""

import asyncio
import logging
from pathlib import Path

import pytest
from mitmproxy.exceptions import CommandError
from mitmproxy.http import HTTPFlow
from mitmproxy.test import taddons, tflow

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.live import kept, mpal
from moonpalace_addons.live_commands import LiveCommands
from moonpalace_addons.settings.values import resolve

type Ran = list[tuple[list[str], str]]


@pytest.fixture
def commands() -> LiveCommands:
    """Give the commands of a store."""
    return LiveCommands(
        Configuration(resolve({"database": "sqlite:////calls.sqlite"}, {"MOONPALACE_HOME": "/nowhere"}))
    )


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Give what is run instead of `mpal`; a command with "bad" fails."""
    found: Ran = []

    async def run(arguments: list[str], database: str) -> tuple[str, bool]:
        found.append((arguments, database))
        return ("Error: no" if "--bad" in arguments else "done"), "--bad" not in arguments

    monkeypatch.setattr(mpal, "run", run)
    return found


def stored(row: int | None) -> HTTPFlow:
    """Return the flow of a stored call."""
    flow = tflow.tflow(resp=True)
    if row is not None:
        flow.metadata[kept.ROW] = row
    return flow


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("row", (), ["show", "3", "5"]),
        ("curl", (), ["export", "3", "5", "--curl"]),
        ("export", ("/folder",), ["export", "3", "5", "--directory=/folder"]),
        ("label", ("good", "code", "--all"), ["label", "3", "5", "--good", "--tag=code", "--tag=--all"]),
        ("label", ("bad",), ["label", "3", "5", "--bad"]),
    ],
)
def test_commands_run_mpal(
    commands: LiveCommands,
    ran: Ran,
    caplog: pytest.LogCaptureFixture,
    name: str,
    given: tuple[str, ...],
    expected: list[str],
) -> None:
    """A command acts on the stored calls of its flows, and the log says what `mpal` says."""
    caplog.set_level(logging.INFO)

    async def call() -> str:
        said: str = getattr(commands, name)([stored(3), stored(None), stored(5)], *given)
        await commands.done()
        return said

    assert asyncio.run(call()) == f"mpal {' '.join(expected)}: the event log says what it did"
    assert ran == [(expected, "sqlite:////calls.sqlite")]
    (record,) = [each for each in caplog.records if "mpal" in each.getMessage()]
    assert record.getMessage() == f"mpal {' '.join(expected)}: {'Error: no' if '--bad' in expected else 'done'}"
    assert record.levelname == ("WARNING" if "--bad" in expected else "ALERT")


def test_what_cannot_be_done(commands: LiveCommands) -> None:
    """Flows without a row, and no labels, are refused in words."""
    with pytest.raises(CommandError, match="none of these flows is a stored call"):
        commands.row([stored(None)])
    with pytest.raises(CommandError, match="name the labels"):
        commands.label([stored(3)])


def test_they_are_commands_of_mitmproxy(commands: LiveCommands) -> None:
    """Mitmproxy knows their arguments, and lists them with their help."""
    with taddons.context(commands) as context:
        found = {name: each for name, each in context.master.commands.commands.items() if name.startswith("moonpalace")}
    assert {name: each.signature_help() for name, each in found.items()} == {
        "moonpalace.curl": "moonpalace.curl flows -> str",
        "moonpalace.export": "moonpalace.export flows folder -> str",
        "moonpalace.label": "moonpalace.label flows *labels -> str",
        "moonpalace.row": "moonpalace.row flows -> str",
    }
    assert all(each.help for each in found.values())


def test_a_real_mpal(tmp_path: Path, empty_store: Path) -> None:
    """The program is found from wherever the addons run, works on their store, and its errors are told."""
    said, is_done = asyncio.run(mpal.run(["show", "7"], str(empty_store)))
    assert not is_done
    assert "7" in said
    assert said.startswith("Error: ")

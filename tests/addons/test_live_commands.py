"""Commands for flows."""

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from mitmproxy import ctx
from mitmproxy.exceptions import CommandError
from mitmproxy.hooks import RunningHook
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.test import taddons, tflow
from mitmproxy.tools.console import defaultkeys
from mitmproxy.tools.console.keymap import Keymap
from mitmproxy.tools.console.master import ConsoleMaster

from moonpalace_addons import live_commands
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.live import kept, mpal
from moonpalace_addons.live_commands import KEYS, LiveCommands
from moonpalace_addons.mitm import console
from moonpalace_addons.mitm.console import CONTEXTS
from moonpalace_addons.settings.values import Settings, resolve
from tests.waiting import until

type Ran = list[tuple[list[str], str]]


@pytest.fixture
def commands() -> LiveCommands:
    """Give the commands of a store."""
    return LiveCommands(
        Configuration(resolve({"database": "sqlite:////calls.sqlite"}, {"MOONPALACE_HOME": "/nowhere"}))
    )


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Record the commands that are run instead of `mpal`; one with "bad" fails."""
    found: Ran = []

    async def run(arguments: list[str], settings: Settings, patience: float) -> tuple[str, bool]:
        found.append((arguments, settings.database))
        assert patience >= mpal.TIMEOUT
        return ("Error: no" if "--bad" in arguments else "done"), "--bad" not in arguments

    monkeypatch.setattr(mpal, "run", run)
    return found


THIRD, FIFTH = "11111111-2222-4333-8444-555555555503", "11111111-2222-4333-8444-555555555505"


def stored(row: object, uuid: object = None) -> HTTPFlow:
    """Return the flow of a call; a stored one has the number of its row."""
    flow = tflow.tflow(resp=True)
    flow.metadata |= {kept.ROW: row, kept.UUID: uuid}
    return flow


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("row", (), ["show", THIRD, FIFTH]),
        ("curl", (), ["export", THIRD, FIFTH, "--curl"]),
        ("export", ("/folder",), ["export", THIRD, FIFTH, "--directory=/folder"]),
        ("label", ("good", "code", "--all"), ["label", THIRD, FIFTH, "--good", "--tag=code", "--tag=--all"]),
        ("label", ("bad",), ["label", THIRD, FIFTH, "--bad"]),
        ("explain", (), ["explain", THIRD, FIFTH]),
        ("explain", ("yes", "--again"), ["explain", THIRD, FIFTH, "--yes", "--again"]),
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
    """A command acts on the stored calls of its flows, and logs the output of `mpal`."""
    caplog.set_level(logging.INFO)

    async def call() -> None:
        assert getattr(commands, name)([stored(3, THIRD), stored(None, FIFTH), stored(5, FIFTH)], *given) is None
        await commands.done()

    asyncio.run(call())
    assert ran == [(expected, "sqlite:////calls.sqlite")]
    begun, record = [each for each in caplog.records if "mpal" in each.getMessage()]
    about = " ".join(["mpal", *expected]).replace(THIRD, "#3").replace(FIFTH, "#5")
    assert begun.getMessage() == f"{about} …"
    assert record.getMessage() == f"{about}: {'Error: no' if '--bad' in expected else 'done'}"
    assert record.levelname == ("WARNING" if "--bad" in expected else "ALERT")


@pytest.mark.parametrize(
    ("row", "uuid"), [(None, THIRD), (3, None), ("3", THIRD), ("--all", THIRD), (3, "--all"), (3, 5), ([], THIRD)]
)
def test_flows_of_no_stored_call(commands: LiveCommands, row: object, uuid: object) -> None:
    """A flow from a file may have any value as the number and the uuid of its call: it is refused."""
    with pytest.raises(CommandError, match="none of these flows is a stored call"):
        commands.row([stored(row, uuid)])


def test_no_labels(commands: LiveCommands) -> None:
    """Without labels, the command asks for them."""
    with pytest.raises(CommandError, match="name the labels"):
        commands.label([stored(3, THIRD)])


def test_other_answers(commands: LiveCommands) -> None:
    """Any other word for `explain` is refused."""
    with pytest.raises(CommandError, match="say yes or again, or nothing"):
        commands.explain([stored(3, THIRD)], "--via=http://attacker.invalid")


def test_quitting_ends_what_takes_long(
    commands: LiveCommands, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its end mitmproxy does not wait for a model, and leaves no process behind."""
    monkeypatch.setattr(live_commands, "QUITTING_TIMEOUT", 0.0)
    monkeypatch.setattr(mpal, "PROGRAM", "import time; time.sleep(600)")
    commands.configuration.settings = replace(commands.configuration.settings, database=str(empty_store))

    before = set(psutil.Process().children())

    async def quit_at_once() -> set[psutil.Process]:
        commands.explain([stored(3, THIRD)])
        found = await asyncio.to_thread(until, lambda: set(psutil.Process().children()) - before)
        await commands.done()
        return found

    assert not any(each.is_running() for each in asyncio.run(quit_at_once()))


def test_they_are_commands_of_mitmproxy(commands: LiveCommands) -> None:
    """All commands are known to mitmproxy, with their arguments and help."""
    with taddons.context(commands) as context:
        found = {name: each for name, each in context.master.commands.commands.items() if name.startswith("moonpalace")}
    assert {name: each.signature_help() for name, each in found.items()} == {
        "moonpalace.curl": "moonpalace.curl flows",
        "moonpalace.explain": "moonpalace.explain flows *answers",
        "moonpalace.export": "moonpalace.export flows folder",
        "moonpalace.label": "moonpalace.label flows *labels",
        "moonpalace.row": "moonpalace.row flows",
    }
    assert all(each.help for each in found.values())


def test_a_real_mpal(tmp_path: Path, empty_store: Path) -> None:
    """The program is found wherever the addons run, works on their store, and its errors are logged."""
    settings = resolve({"database": str(empty_store), "redact_pattern": "x+", "upstream_proxy": "none"}, os.environ)
    said, is_done = asyncio.run(mpal.run(["show", THIRD], settings))
    assert not is_done
    assert "no call is stored yet" in said
    assert said.startswith("Error: ")


def test_keys_are_free() -> None:
    """The console of mitmproxy does not use these keys."""
    keymap = Keymap(None)
    defaultkeys.map(keymap)
    assert not [(key, context) for key, *_ in KEYS for context in (*CONTEXTS, "global") if keymap.get(context, key)]


def test_keys_of_the_user(commands: LiveCommands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In mitmproxy's order of events, keys bound in the user's `keys.yaml` stay the user's; others are bound."""
    (tmp_path / "keys.yaml").write_text(
        "- {key: y, cmd: own}\n- {key: t, ctx: [flowview], cmd: own}\n", encoding="utf-8"
    )

    for name in ("master", "options", "log"):
        monkeypatch.setattr(ctx, name, None, raising=False)  # the console sets them, for all tests to come

    async def run() -> Keymap:
        master = ConsoleMaster(Options(confdir=str(tmp_path)))
        scripts = master.addons.get("scriptloader")
        scripts.addons.append(commands)
        await master.addons.trigger_event(RunningHook())
        await Master.done(master)  # its own closes a window
        return master.keymap

    keymap = asyncio.run(run())
    found = {(context, key): keymap.get(context, key) for context in CONTEXTS for key in ("y", "t", "T")}
    assert keymap.get("global", "y")
    assert {place: each and each.command for place, each in found.items()} == {
        **{(context, "y"): None for context in CONTEXTS},
        ("flowlist", "t"): KEYS[0][1],
        ("flowview", "t"): "own",
        **{(context, "T"): KEYS[1][1] for context in CONTEXTS},
    }


@pytest.mark.parametrize(("said", "shown"), [("one\ntwo", ["one\ntwo"]), ("done", [])])
def test_the_console_shows_what_mpal_says(
    commands: LiveCommands,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: str,
    shown: list[str],
) -> None:
    """In the console a text of several lines is opened."""
    caplog.set_level(logging.INFO)
    found: list[str] = []

    async def run(*_: object) -> tuple[str, bool]:
        return said, True

    monkeypatch.setattr(mpal, "run", run)
    monkeypatch.setattr(console, "is_console", lambda: True)
    monkeypatch.setattr(console, "show", found.append)

    async def call() -> None:
        commands.row([stored(5, FIFTH)])
        await asyncio.gather(*commands._tasks)

    with taddons.context(commands):
        asyncio.run(call())
    assert found == shown
    levels = [record.levelname for record in caplog.records if "mpal show" in record.getMessage()]
    assert levels == ["ALERT", "INFO" if shown else "ALERT"], caplog.text


def test_a_text_that_cannot_be_shown(
    commands: LiveCommands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception while a text is shown is logged, like one while `mpal` runs."""

    async def run(*_: object) -> tuple[str, bool]:
        return "one\ntwo", True

    monkeypatch.setattr(mpal, "run", run)
    monkeypatch.setattr(console, "is_console", lambda: True)
    monkeypatch.setattr(console, "show", lambda _: 1 / 0)
    asyncio.run(commands._run("mpal show #5", [], 1.0))
    assert "mpal show #5 failed because of a fault in MoonPalace" in caplog.text

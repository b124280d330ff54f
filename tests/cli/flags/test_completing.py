"""Tests of shell completion from the store."""

import threading
import time
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem
from sqlalchemy import Engine

from moonpalace_cli.commands.export import command as export
from moonpalace_cli.commands.label import command as label
from moonpalace_cli.flags import completing
from tests.cli.conftest import Mpal, Store


def offered(command: click.Command, flag: str, incomplete: str = "", *before: str) -> list[str]:
    """Return the completions for the value of a flag, after other arguments."""
    names = ["-h", "--help"]  # as in the group: click keeps the first option that it makes
    context = command.make_context("mpal", list(before), resilient_parsing=True, help_option_names=names)
    option = next(one for one in command.params if flag in one.opts)
    return [item.value for item in option.shell_complete(context, incomplete)]


def test_ids_and_tags(store: Store, mpal: Mpal) -> None:
    """Ids are newest first, tags most used first, identifiers by their beginning."""
    for number in range(1, 13):
        store.add(chatcmpl_id=f"cmpl-{number}", msh_request_id=f"req-{number}")
    mpal("label", "--last", "3", "--tag", "code")
    mpal("label", "--id", "1", "--tag", "chat", "--tag", "zebra")
    assert offered(export, "--id")[:3] == ["12", "11", "10"]
    assert offered(label, "--id", "1") == ["12", "11", "10", "1"]
    assert offered(label, "--id", "x") == []
    assert offered(export, "--tag") == ["code", "chat", "zebra"]
    assert offered(label, "--untag", "c") == ["code", "chat"]
    assert offered(export, "--chatcmpl", "cmpl-1") == ["cmpl-12", "cmpl-11", "cmpl-10", "cmpl-1"]
    assert offered(export, "--requestid", "req-3") == ["req-3"]


def test_store_of_the_command_line(store: Store, tmp_path: Path) -> None:
    """The store on the command line is queried, and none is ever created."""
    store.add()
    other = tmp_path / "other.sqlite"
    assert offered(export, "--id", "", "--database", str(other)) == []
    assert not other.exists()
    assert offered(export, "--id", "", "--database", str(tmp_path / "home" / "moonpalace.sqlite")) == ["1"]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00"])
def test_broken_stores(tmp_path: Path, content: bytes) -> None:
    """An invalid file gives no error, and is not changed."""
    file = tmp_path / "broken.sqlite"
    file.write_bytes(content)
    assert offered(export, "--id", "", "--database", str(file)) == []
    assert offered(export, "--id", "", "--database", "mysql://nowhere/x") == []
    assert file.read_bytes() == content


def test_slow_stores(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Completion gives up on a slow store."""
    monkeypatch.setattr(completing, "TIMEOUT", 0.05)
    released = threading.Event()

    def never(_: Engine, __: str) -> list[CompletionItem]:
        released.wait(30)
        return []

    began = time.perf_counter()
    context = export.make_context("mpal", [], resilient_parsing=True, help_option_names=["-h", "--help"])
    assert completing.from_store(never)(context, export.params[0], "") == []
    assert time.perf_counter() - began < 10
    released.set()

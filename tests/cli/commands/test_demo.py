"""`mpal demo`: its commands and remaining files, without its proxy, which the documents' tests start."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from moonpalace_cli.commands import demo
from moonpalace_cli.main import cli
from tests.cli.conftest import Mpal


class Log:
    """Say that each call is stored."""

    def wait_for(self, pattern: str) -> str:
        """Return at once."""
        return pattern


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    """Record the commands that the demo runs."""
    found: list[tuple[str, ...]] = []

    @contextmanager
    def proxy(endpoint: str, environment: Mapping[str, str]) -> Iterator[tuple[str, Log]]:
        Path(environment["MOONPALACE_HOME"], "moonpalace.sqlite").touch()
        assert environment["PAGER"] == "cat"
        yield f"{endpoint}/v1", Log()

    monkeypatch.setattr(demo, "proxy", proxy)
    monkeypatch.setattr(demo, "mpal", lambda _, *arguments: found.append(arguments))
    monkeypatch.setattr(demo, "PAUSE", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return found


def test_nothing_is_left(mpal: Mpal, ran: list[tuple[str, ...]], tmp_path: Path) -> None:
    """It shows the calls and removes its files."""
    result = mpal("demo")
    assert result.code == 0
    assert ran == [arguments for _, arguments in demo.VIEWS]
    assert "mpal start" in result.out.splitlines()[-1]
    assert not list(tmp_path.glob("moonpalace-demo-*"))


def test_a_store_to_play_with(mpal: Mpal, tmp_path: Path) -> None:
    """With --keep the store remains, and the suggested commands exist."""
    lines = mpal("demo", "--keep").out.splitlines()
    (folder,) = tmp_path.glob("moonpalace-demo-*")
    assert (folder / "moonpalace.sqlite").exists()
    start = lines.index(f"  export MOONPALACE_HOME={shlex.quote(str(folder))}")
    shown = [line.strip().removeprefix("mpal ") for line in lines[start + 1 : start + 1 + len(demo.MORE)]]
    assert shown == list(demo.MORE)
    assert all(line.split()[0] in cli.list_commands(None) for line in shown)  # type: ignore[arg-type]
    assert lines[start + 1 + len(demo.MORE)] == f"  rm -r {folder}"

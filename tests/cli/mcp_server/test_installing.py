"""`mpal mcp --install` prints and writes the entries of clients."""

import json
import tomllib
from pathlib import Path

import pytest

from moonpalace_cli.commands import mcp_
from moonpalace_cli.mcp_server.clients import CLIENTS
from tests.cli.conftest import Mpal, Outcome

FILES = {
    "claude": ".claude.json",
    "codex": ".codex/config.toml",
    "cursor": ".cursor/mcp.json",
    "kimi": ".kimi-code/mcp.json",
    "opencode": ".config/opencode/opencode.json",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the user's home into a folder of the test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MOONPALACE_HOME")
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "KIMI_CODE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def read(file: Path, client: str) -> dict[str, object]:
    """Return the entry in a file."""
    text = file.read_text()
    document = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    found: dict[str, object] = document[CLIENTS[client].keys[0]]["moonpalace"]
    return found


@pytest.mark.parametrize("client", FILES)
def test_the_entry_is_printed_or_written_once(client: str, home: Path, mpal: Mpal) -> None:
    """Without --write the entry and its file are printed; with it, it is written, but only once."""
    file = home / FILES[client]
    printed = mpal("mcp", "--install", client)
    assert printed.code == 0
    assert str(file) in printed.err
    assert not file.exists()
    written = mpal("mcp", "--install", client, "--write")
    assert written.code == 0
    assert file.read_text() == printed.out
    entry = read(file, client)
    command = entry["command"]
    words = command if isinstance(command, list) else [command, *entry["args"]]  # type: ignore[misc]
    assert Path(str(words[0])).is_file()
    assert words[-1] == "mcp"
    again = mpal("mcp", "--install", client, "--write")
    assert (again.code, again.out) == (0, f"{file} already has the entry\n")
    assert file.read_text() == printed.out
    other = mpal("mcp", "--install", client, "--write", "--raw")
    assert other.code == 1
    assert "it has another one called moonpalace: remove that first; add it by hand" in other.err
    assert file.read_text() == printed.out


def test_everything_else_in_the_file_stays(home: Path, mpal: Mpal) -> None:
    """The file keeps its text, its mode, and its location behind a link."""
    real = home / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text('{\n  "projects": {"/x": {"n": 1.0}},\n  "mcpServers": {"other": {"command": "y"}}\n}\n')
    real.chmod(0o640)
    (home / ".claude.json").symlink_to(real)
    assert mpal("mcp", "--install", "claude", "--write", "--allow-label").code == 0
    document = json.loads(real.read_text())
    assert document["projects"] == {"/x": {"n": 1.0}}
    assert document["mcpServers"]["other"] == {"command": "y"}
    assert document["mcpServers"]["moonpalace"]["args"] == ["mcp", "--allow-label"]
    assert (home / ".claude.json").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in real.parent.iterdir()) == ["claude.json"]


def test_the_place_of_each_client_follows_its_variables(
    home: Path, mpal: Mpal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients may keep their configuration elsewhere; kimi-cli and JSON with comments are found, too."""
    monkeypatch.setenv("CODEX_HOME", str(home / "c"))
    assert str(home / "c" / "config.toml") in mpal("mcp", "--install", "codex").err
    (home / ".kimi").mkdir()
    assert str(home / ".kimi" / "mcp.json") in mpal("mcp", "--install", "kimi").err
    commented = home / ".config" / "opencode" / "opencode.jsonc"
    commented.parent.mkdir(parents=True)
    commented.write_text('{\n  // mine\n  "theme": "x",\n}\n')
    assert mpal("mcp", "--install", "opencode", "--write").code == 0
    assert "// mine" in commented.read_text()
    assert '"type": "local"' in commented.read_text()


def test_the_database_is_named_where_the_client_would_not_find_it(
    home: Path, mpal: Mpal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A given database is part of the entry, unless its URL has a password."""
    assert "--database" not in mpal("mcp", "--install", "kimi").out
    given = f"sqlite:///{home}/x.sqlite"
    for outcome in (mpal("mcp", "--install", "kimi", "--database", f"{home}/x.sqlite"), given_by_variable(mpal, home)):
        assert json.loads(outcome.out)["mcpServers"]["moonpalace"]["args"][1:] == ["--database", given]
    monkeypatch.delenv("MOONPALACE_DATABASE", raising=False)
    refused = mpal("mcp", "--install", "kimi", "--database", "postgresql://me:hidden@host/db")
    assert refused.code == 1
    assert "~/.pgpass" in refused.err
    assert "hidden" not in refused.err + refused.out


def given_by_variable(mpal: Mpal, home: Path) -> Outcome:
    """Print an entry with the database in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOONPALACE_DATABASE", f"{home}/x.sqlite")
        return mpal("mcp", "--install", "kimi")


def test_mistakes_are_told(home: Path, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken file is unchanged; --write alone, an unknown client and a missing SDK are reported."""
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text('{"mcpServers": ')
    refused = mpal("mcp", "--install", "cursor", "--write")
    assert refused.code == 1
    assert f"cannot add the entry to {file}: it is not JSON" in refused.err
    assert file.read_text() == '{"mcpServers": '
    file.write_bytes(b'{"name": "\xff"}')
    refused = mpal("mcp", "--install", "cursor", "--write")
    assert refused.err == f"Error: cannot add the entry to {file}: it is not UTF-8; add it by hand\n"
    assert "--write is for --install" in mpal("mcp", "--write").err
    assert "is not one of" in mpal("mcp", "--install", "emacs").err
    monkeypatch.setattr(mcp_, "find_spec", lambda _: None)
    assert mpal("mcp").err == "Error: mpal mcp needs the MCP SDK: pip install 'moonpalace[mcp]'\n"


def test_the_command_offers_every_client() -> None:
    """The names of the flag are those of the table."""
    assert tuple(CLIENTS) == mcp_.CLIENTS

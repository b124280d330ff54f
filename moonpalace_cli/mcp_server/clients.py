"""The clients whose configuration we can write: the place and the form of their list of servers.

According to their documentation in November 2026: https://code.claude.com/docs/en/mcp (user scope),
https://developers.openai.com/codex/mcp, https://cursor.com/docs/mcp, https://moonshotai.github.io/kimi-code and
https://moonshotai.github.io/kimi-cli (mcp.json), https://opencode.ai/docs/mcp-servers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = "moonpalace"
"""The name of the server in clients; it is the prefix of its tools' names there."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client: its configuration file, the path of keys to its servers there, and the form of an entry."""

    title: str
    file: Callable[[Mapping[str, str], Path], Path]
    keys: tuple[str, ...]
    entry: Callable[[Sequence[str]], Mapping[str, object]]


def plain(command: Sequence[str]) -> Mapping[str, object]:
    """Return the entry for most clients: the program and its arguments."""
    return {"command": command[0], "args": list(command[1:])}


def typed(command: Sequence[str]) -> Mapping[str, object]:
    """Return the entry for Claude Code, which also has the transport."""
    return {"type": "stdio", **plain(command)}


def local(command: Sequence[str]) -> Mapping[str, object]:
    """Return the entry for opencode."""
    return {"type": "local", "command": list(command), "enabled": True}


def claude_file(environ: Mapping[str, str], home: Path) -> Path:
    """Return the file with the servers of all projects."""
    return Path(environ.get("CLAUDE_CONFIG_DIR") or home) / ".claude.json"


def codex_file(environ: Mapping[str, str], home: Path) -> Path:
    """Return Codex's configuration."""
    return Path(environ.get("CODEX_HOME") or home / ".codex") / "config.toml"


def cursor_file(_: Mapping[str, str], home: Path) -> Path:
    """Return the file with the servers of all projects."""
    return home / ".cursor" / "mcp.json"


def kimi_file(environ: Mapping[str, str], home: Path) -> Path:
    """Return the file of Kimi Code, or that of the older kimi-cli if only that one has been used."""
    newer, older = Path(environ.get("KIMI_CODE_HOME") or home / ".kimi-code"), home / ".kimi"
    return (older if older.is_dir() and not newer.is_dir() else newer) / "mcp.json"


def opencode_file(environ: Mapping[str, str], home: Path) -> Path:
    """Return opencode's configuration, which may be JSON with comments."""
    folder = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "opencode"
    with_comments = folder / "opencode.jsonc"
    return with_comments if with_comments.exists() else folder / "opencode.json"


CLIENTS: Mapping[str, Client] = {
    "claude": Client("Claude Code", claude_file, ("mcpServers",), typed),
    "codex": Client("Codex", codex_file, ("mcp_servers",), plain),
    "cursor": Client("Cursor", cursor_file, ("mcpServers",), plain),
    "kimi": Client("Kimi Code", kimi_file, ("mcpServers",), plain),
    "opencode": Client("opencode", opencode_file, ("mcp",), local),
}

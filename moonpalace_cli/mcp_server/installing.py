"""`mpal mcp --install`: print the entry for a client's configuration, or write it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.mcp_server import insertion
from moonpalace_cli.mcp_server.clients import CLIENTS, NAME, Client

if TYPE_CHECKING:
    from collections.abc import Mapping


def install(name: str, arguments: Sequence[str], *, write: bool) -> None:
    """Print the entry that makes a client start `mpal mcp` with these arguments, or write it."""
    client = CLIENTS[name]
    file = client.file(os.environ, Path.home())
    entry = client.entry([*program(), "mcp", *arguments])
    if not write:
        click.echo(with_entry(file, "", client, entry), nl=False)
        click.echo(f"this is for {client.title}: {file}; --write puts it there", err=True)
        return
    try:
        add(client, file, entry)
    except insertion.UnfitFileError as error:
        raise MoonPalaceError(f"cannot add the entry to {file}: {error}; add it by hand") from error
    except UnicodeDecodeError as error:
        raise MoonPalaceError(f"cannot add the entry to {file}: it is not UTF-8; add it by hand") from error
    except OSError as error:
        raise MoonPalaceError(f"cannot read or write {file}: {error.strerror}") from error


def add(client: Client, file: Path, entry: Mapping[str, object]) -> None:
    """Write the entry into a file, unless it is there."""
    from moonpalace_cli.export.files import write_over

    before = file.read_bytes() if file.exists() else b""
    text = before.decode()
    read = insertion.read_toml if is_toml(file) else insertion.read_json
    there = insertion.at(read(text) if text.strip() else {}, [*client.keys, NAME])
    if there == entry:
        click.echo(f"{file} already has the entry")
        return
    if there is not None:
        raise insertion.UnfitFileError(f"it has another one called {NAME}: remove that first")
    new = with_entry(file, text, client, entry)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = file.stat().st_mode & 0o7777 if file.exists() else 0o600
    write_over(file, new.encode())
    file.chmod(mode)
    click.echo(f"added {NAME} to {file}; restart {client.title}")


def with_entry(file: Path, text: str, client: Client, entry: Mapping[str, object]) -> str:
    """Return the text of a file with the entry."""
    add_to = insertion.toml_with if is_toml(file) else insertion.json_with
    return add_to(text, [*client.keys, NAME], entry)


def is_toml(file: Path) -> bool:
    """Return whether the file is TOML rather than JSON."""
    return file.suffix == ".toml"


def program() -> list[str]:
    """Return the command that starts `mpal`, even for clients with another PATH."""
    script = shutil.which("mpal", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "moonpalace_cli.main"]

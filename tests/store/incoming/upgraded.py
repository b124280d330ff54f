"""The original's file before and after its upgrade."""

import sqlite3
from contextlib import closing
from pathlib import Path

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.incoming import upgrade

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "tests" / "data" / "go-v0.12" / "moonpalace.sqlite"


def rows_of(file: Path) -> list[dict[str, object]]:
    """Return the result of `SELECT *` in any SQLite client."""
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM moonshot_requests ORDER BY id")]


def opened(file: Path) -> None:
    """Open the store as every command does."""
    open_store(f"sqlite:///{file}").dispose()


def backups_of(file: Path) -> list[Path]:
    """Return the backups next to a file."""
    return upgrade.backups(file)

"""SQLAlchemy's compiled statements, shared by all engines of a process.

Each engine has its own cache, and nearly each test an engine: its statements take longer to compile than to run.
"""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.util import LRUCache

MAX_STATEMENTS = 3_000

type Key = tuple[Any, ...]


class CompiledStatements(LRUCache[Key, Any]):
    """A cache whose keys distinguish databases, not engines."""

    def get(self, key: Key, default: Any = None) -> Any:
        """Look up a key of SQLAlchemy's, whose first member is the engine's dialect."""
        return super().get(shared(key), default)

    def __setitem__(self, key: Key, value: Any) -> None:
        super().__setitem__(shared(key), value)


def shared(key: Key) -> Key:
    """Return a key that all engines with such a database share."""
    dialect, *others = key
    return type(dialect), getattr(dialect, "server_version_info", None), *others


def share_compiled_statements() -> None:
    """Make all engines of this process use one cache."""
    statements = CompiledStatements(MAX_STATEMENTS)
    Engine._compiled_cache = property(lambda _: statements, lambda _, __: None)  # type: ignore[assignment]

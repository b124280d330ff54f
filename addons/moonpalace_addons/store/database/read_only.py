"""Make an engine refuse to change its store."""

from typing import Any

from sqlalchemy import Engine, event

STATEMENTS = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
}


def make_read_only(engine: Engine) -> None:
    """Make the database refuse all changes through this engine from now on."""
    statement = STATEMENTS[engine.dialect.name]

    def refuse_changes(connection: Any, _: object) -> None:
        connection.execute(statement)
        connection.commit()

    engine.dispose()  # connections that are already open would not have the setting
    event.listen(engine, "connect", refuse_changes)

"""Recreate the views whenever the schema changes, so that they follow the catalogue of fields.

A user's own table or view under one of the names is left alone; so is, on PostgreSQL, a view of ours on which a user's
view depends.
"""

import logging
from collections.abc import Callable, Mapping

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from moonpalace_addons.store.sql_views.calls import calls
from moonpalace_addons.store.sql_views.columns import CALLS, COLUMNS, EVENTS, MESSAGES
from moonpalace_addons.store.sql_views.events import events
from moonpalace_addons.store.sql_views.messages import messages

logger = logging.getLogger(__name__)

QUERIES: Mapping[str, Callable[[str], str]] = {CALLS: calls, MESSAGES: messages, EVENTS: events}
MARK = "made by MoonPalace"
"""The mark of our views: a comment in the definition, on PostgreSQL a comment on the view."""
OURS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'view' AND sql LIKE :mark",
    "postgresql": """SELECT relname FROM pg_class WHERE relkind = 'v' AND pg_table_is_visible(oid)
        AND obj_description(oid, 'pg_class') LIKE :mark""",
}


def drop_views(connection: Connection) -> None:
    """Drop our views, except those on which something depends."""
    ours = set(connection.execute(text(OURS[connection.dialect.name]), {"mark": f"%{MARK}%"}).scalars())
    for name in ours.intersection(QUERIES):
        try:
            with connection.begin_nested():
                connection.execute(text(f"DROP VIEW {name}"))
        except DBAPIError:
            continue


def make_views(connection: Connection) -> None:
    """Make the views whose names are free."""
    inspector = inspect(connection)
    existing = {*inspector.get_table_names(), *inspector.get_view_names()}
    dialect = connection.dialect.name
    for name, query in QUERIES.items():
        if name in existing:
            continue
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"CREATE VIEW {name} AS -- {MARK}\n{query(dialect)}")
                if dialect == "postgresql":
                    describe(connection, name)
        except DBAPIError as error:  # a user's index has the name, or the user may not create views
            logger.warning("store: the view %s for other programs could not be made: %s", name, error.orig)


def describe(connection: Connection, name: str) -> None:
    """Store the meaning of each column in the database, where its tools show it."""
    comments = [f"COMMENT ON VIEW {name} IS '{MARK}'"]
    for column in COLUMNS[name]:
        meaning = column.meaning.replace("'", "''")
        comments.append(f"COMMENT ON COLUMN {name}.{column.name} IS '{meaning}'")
    connection.exec_driver_sql(";".join(comments))

"""Make the views anew whenever the schema changes, so that they follow the catalogue of fields.

What a user has made is left alone: a table or view of his own under one of the names, and on PostgreSQL one of our
views on which his depend.
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
"""What tells our views from those of users: a comment in the definition, on PostgreSQL one on the view."""
OURS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'view' AND sql LIKE :mark",
    "postgresql": """SELECT relname FROM pg_class WHERE relkind = 'v' AND pg_table_is_visible(oid)
        AND obj_description(oid, 'pg_class') LIKE :mark""",
}


def drop_views(connection: Connection) -> None:
    """Drop our views, as far as nothing depends on them."""
    ours = set(connection.execute(text(OURS[connection.dialect.name]), {"mark": f"%{MARK}%"}).scalars())
    for name in ours.intersection(QUERIES):
        try:
            with connection.begin_nested():
                connection.execute(text(f"DROP VIEW {name}"))
        except DBAPIError:
            continue


def make_views(connection: Connection) -> None:
    """Make the views whose names are free."""
    found = inspect(connection)
    taken = {*found.get_table_names(), *found.get_view_names()}
    dialect = connection.dialect.name
    for name, query in QUERIES.items():
        if name in taken:
            continue
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"CREATE VIEW {name} AS -- {MARK}\n{query(dialect)}")
                if dialect == "postgresql":
                    describe(connection, name)
        except DBAPIError as error:  # an index of the user has the name, or he may not make views
            logger.warning("store: the view %s for other programs could not be made: %s", name, error.orig)


def describe(connection: Connection, name: str) -> None:
    """Write the meaning of each column into the database, where its tools show it."""
    comments = [f"COMMENT ON VIEW {name} IS '{MARK}'"]
    for column in COLUMNS[name]:
        meaning = column.meaning.replace("'", "''")
        comments.append(f"COMMENT ON COLUMN {name}.{column.name} IS '{meaning}'")
    connection.exec_driver_sql(";".join(comments))

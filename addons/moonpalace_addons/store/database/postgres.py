"""Connect to PostgreSQL: session settings, locking of writing transactions, meaning of errors."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

LOCK = 0x6D706173
"""The advisory lock of a store: shared by writing transactions, exclusive for those that are `alone`."""

IDLE_TIMEOUT = 60.0
"""Seconds after which the server ends an idle transaction: its process may be suspended while others wait."""

POOL_SIZE, POOL_OVERFLOW, POOL_RECYCLE = 2, 4, 1800
"""A proxy needs one connection for its writer and occasionally another; a command needs one."""

# libpq's parameters, in seconds except for the last (ms): detect a dead server within half a minute.
CONNECT_ARGS = {
    "connect_timeout": 10,
    "fallback_application_name": "moonpalace",
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# Temporary failures that the driver does not class as OperationalError: a server that is read-only after a failover,
# a revoked permission, tables that are being restored.
UNAVAILABLE = ("25006", "42501", "42P01")

QUERY_CANCELED = "57014"

LIMIT_STATEMENTS = """
    SELECT set_config('statement_timeout', %(limit)s, true)
    WHERE current_setting('statement_timeout')::interval = '0'
        OR current_setting('statement_timeout')::interval > %(limit)s::interval"""

# Fragments of the server's messages, with what to do about them.
HINTS = (
    ('database "', "does not exist", "create it first (createdb); its tables come by themselves"),
    ("password authentication failed", "", "check the user and the password in the URL or in ~/.pgpass"),
    ("no password supplied", "", "give one in the URL, in PGPASSWORD or in ~/.pgpass"),
    ("Connection refused", "", "is the server running there?"),
    ("on socket", "No such file", "is the server running there?"),
    ("permission denied for schema", "", "the user must be allowed to create tables the first time"),
    ("lock timeout", "", "another process holds it, try again when that has ended"),
)


def make_engine(url: URL, lock_timeout: float) -> Engine:
    """Return an engine whose sessions have a lock timeout of `lock_timeout` seconds.

    Parameters in the URL's query take precedence; with `options=` there, the session's settings are not changed.
    """
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_recycle=POOL_RECYCLE,
        pool_pre_ping=True,
        use_native_hstore=False,  # saves a round trip for a type that we do not use
        hide_parameters=True,
        connect_args={name: value for name, value in CONNECT_ARGS.items() if name not in url.query},
    )
    if "options" not in url.query:
        # The driver's class is not imported, because SQLite users need not have the driver.
        event.listen(engine, "connect", session_setter(lock_timeout, engine.dialect.loaded_dbapi.DataError))
    add_response_timeout(engine)
    event.listen(engine, "begin", begin)
    return engine


def add_response_timeout(engine: Engine) -> None:
    """Limit how long the engine's connections wait for a silent server, except in read-only transactions.

    A proxy must go on whatever the server does; a user's query may take as long as it needs.
    """
    # They need the driver.
    from moonpalace_addons.store.database.postgres_timeout import RESPONSE_TIMEOUT, TimeoutConnection

    def connect(_: object, __: object, arguments: list[str], named: dict[str, str]) -> "TimeoutConnection":
        return TimeoutConnection.connect(*arguments, **named)  # type: ignore[arg-type]

    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        timeout = RESPONSE_TIMEOUT + (options.get("patience") or 0.0) if options.get("immediate", False) else None
        cast("TimeoutConnection", connection.connection.driver_connection).response_timeout = timeout

    def checkin(connection: "TimeoutConnection | None", _: ConnectionPoolEntry) -> None:
        if connection is not None:
            connection.response_timeout = RESPONSE_TIMEOUT  # for the pool's pre-ping

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "begin", begin)
    event.listen(engine, "checkin", checkin)


def session_setter(
    lock_timeout: float, data_error: type[Exception]
) -> Callable[[DBAPIConnection, ConnectionPoolEntry], None]:
    """Return the listener that sets up a new session in one round trip."""

    def set_session(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.autocommit = True  # otherwise a rollback would undo the settings
        zones = (local_zone(), fixed_offset(time.time()))
        for zone in zones:
            try:
                connection.cursor().execute(
                    "SELECT set_config('lock_timeout', %s, false), set_config('TimeZone', %s, false)",
                    (milliseconds(lock_timeout), zone),
                )
                break
            except data_error:  # the server does not know this machine's time zone
                if zone is zones[-1]:
                    raise
        connection.autocommit = False

    return set_session


def begin(connection: Connection) -> None:
    """Take our lock for a writing transaction, and limit its idle time in case its process is suspended.

    The execution option `alone` makes the lock exclusive; `patience` overrides the session's lock timeout.
    """
    options = connection.get_execution_options()
    if not options.get("immediate", False):
        return
    timeouts = {"idle_in_transaction_session_timeout": IDLE_TIMEOUT, "lock_timeout": options.get("patience")}
    settings = [
        f"set_config('{name}', '{milliseconds(value)}', true)" for name, value in timeouts.items() if value is not None
    ]
    lock = f"pg_advisory_xact_lock{'' if options.get('alone', False) else '_shared'}({LOCK})"
    connection.exec_driver_sql(f"SELECT {', '.join([*settings, lock])}")


def limit_statements(connection: Connection, seconds: float) -> None:
    """Limit the duration of this transaction's statements; a lower existing limit is kept."""
    connection.exec_driver_sql(LIMIT_STATEMENTS, {"limit": f"{milliseconds(seconds)}ms"})


def is_statement_timeout(error: BaseException | None) -> bool:
    """Return whether the server ended a statement at its limit; the error's text may be in any language."""
    return getattr(error, "sqlstate", None) == QUERY_CANCELED


def milliseconds(seconds: float) -> str:
    """Return seconds in milliseconds, as text for PostgreSQL's settings."""
    return str(round(seconds * 1000))


def local_zone() -> str:
    """Return this machine's time zone, for the local times in the view."""
    name = os.environ.get("TZ") or str(Path("/etc/localtime").resolve()).rpartition("/zoneinfo/")[2]
    return name.removeprefix(":") or "UTC"


def fixed_offset(moment: float) -> str:
    """Return this machine's UTC offset at `moment` (seconds since the epoch) as a POSIX zone, known to every server."""
    offset = time.localtime(moment).tm_gmtoff
    # POSIX zones have the opposite sign.
    sign, minutes = ("-" if offset >= 0 else "+"), abs(offset) // 60
    return f"<local>{sign}{minutes // 60:02}:{minutes % 60:02}"


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether an error comes from the database's temporary state rather than from the written data."""
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return True
    return getattr(error.orig, "sqlstate", None) in UNAVAILABLE


def reason(words: str) -> str:
    """Return the server's message, with a hint on what to do if there is one."""
    message = " ".join(words.removeprefix("connection failed: ").removeprefix("connection is bad: ").split())
    for one, other, hint in HINTS:
        if one in message and other in message:
            return f"{message}; {hint}"
    return message

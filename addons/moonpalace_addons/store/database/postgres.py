"""Connect to PostgreSQL: what a session is set to, how transactions that write keep apart, what its errors mean."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

if TYPE_CHECKING:
    from moonpalace_addons.store.database.postgres_patience import PatientConnection

LOCK = 0x6D706173
"""The advisory lock of a store: shared by all that write, exclusive for who asks to be alone."""

IDLE_TIMEOUT = 60.0
"""Seconds after which the server ends a transaction that writes nothing: its process was suspended, others wait."""

POOL_SIZE, POOL_OVERFLOW, POOL_RECYCLE = 2, 4, 1800
"""A proxy needs one connection for its writer and now and then another; a command needs one."""

# libpq's own parameters, in seconds but for the last: a server that vanished is noticed within half a minute.
CONNECTING = {
    "connect_timeout": 10,
    "fallback_application_name": "moonpalace",
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# What makes sense to wait for although the driver does not call it an operational error: a server that became
# read-only (a failover), a right that was taken away, tables that are just being restored.
UNAVAILABLE = ("25006", "42501", "42P01")

# What the server says, and what to do about it.
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
    """Return an engine whose sessions give up waiting for a lock after `lock_timeout` seconds.

    What the URL sets in its query is left as it is; with `options=` there, the session is left alone.
    """
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_recycle=POOL_RECYCLE,
        pool_pre_ping=True,
        use_native_hstore=False,  # asking for a type that we do not use costs a round trip
        hide_parameters=True,
        connect_args={name: value for name, value in CONNECTING.items() if name not in url.query},
    )
    if "options" not in url.query:
        # The driver's own class: whoever works with SQLite need not have the driver.
        event.listen(engine, "connect", session_setter(lock_timeout, engine.dialect.loaded_dbapi.DataError))
    listen_patiently(engine)
    event.listen(engine, "begin", begin)
    return engine


def listen_patiently(engine: Engine) -> None:
    """Have the engine's connections give up on a server that has gone silent, but for transactions that only read.

    What a proxy does must go on, whatever the server does; a query of a user may take its time.
    """
    from moonpalace_addons.store.database.postgres_patience import PATIENCE, PatientConnection  # it needs the driver

    def connect(_: object, __: object, arguments: list[str], named: dict[str, str]) -> "PatientConnection":
        return PatientConnection.connect(*arguments, **named)  # type: ignore[arg-type]

    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        patience = PATIENCE + (options.get("patience") or 0.0) if options.get("immediate", False) else None
        cast("PatientConnection", connection.connection.driver_connection).patience = patience

    def checkin(connection: "PatientConnection | None", _: ConnectionPoolEntry) -> None:
        if connection is not None:
            connection.patience = PATIENCE  # for the sign of life that the next one asks for

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "begin", begin)
    event.listen(engine, "checkin", checkin)


def session_setter(
    lock_timeout: float, data_error: type[Exception]
) -> Callable[[DBAPIConnection, ConnectionPoolEntry], None]:
    """Return what sets a new session up, in one round trip."""

    def set_session(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.autocommit = True  # or the settings would go with the transaction
        zones = (local_zone(), fixed_offset(time.time()))
        for zone in zones:
            try:
                connection.cursor().execute(
                    "SELECT set_config('lock_timeout', %s, false), set_config('TimeZone', %s, false)",
                    (milliseconds(lock_timeout), zone),
                )
                break
            except data_error:  # the server knows other zones than this machine
                if zone is zones[-1]:
                    raise
        connection.autocommit = False

    return set_session


def begin(connection: Connection) -> None:
    """Begin a transaction that will write: it takes our lock, and must not hold up others if its process is suspended.

    Its execution options say whether it is to be `alone`, and with how much `patience` if not that of all statements.
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


def milliseconds(seconds: float) -> str:
    """Return a time as PostgreSQL's settings have it."""
    return str(round(seconds * 1000))


def local_zone() -> str:
    """Return the name of this machine's time zone, so that the view tells this machine's local time."""
    name = os.environ.get("TZ") or str(Path("/etc/localtime").resolve()).rpartition("/zoneinfo/")[2]
    return name.removeprefix(":") or "UTC"


def fixed_offset(moment: float) -> str:
    """Return this machine's offset from UTC at `moment` (seconds since the epoch) as a zone that every server knows."""
    offset = time.localtime(moment).tm_gmtoff
    # The sign of POSIX is the other way round.
    sign, minutes = ("-" if offset >= 0 else "+"), abs(offset) // 60
    return f"<local>{sign}{minutes // 60:02}:{minutes % 60:02}"


def is_unavailable(error: DBAPIError) -> bool:
    """Tell whether an error is a matter of the database's state, which passes, and not of what was to be written."""
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return True
    return getattr(error.orig, "sqlstate", None) in UNAVAILABLE


def reason(words: str) -> str:
    """Return the server's words, and what to do where we know it."""
    said = " ".join(words.removeprefix("connection failed: ").removeprefix("connection is bad: ").split())
    for one, other, hint in HINTS:
        if one in said and other in said:
            return f"{said}; {hint}"
    return said

"""The rows of context caches at the API. Times are microseconds since the epoch."""

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Literal, cast

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.store.schema import CONTEXT_CACHES, EXCHANGES

type CacheState = Literal["creating", "ready"]

MAX_CACHES = 1000
"""Caches of one key that are considered: the most recently used."""


@dataclass(frozen=True, slots=True)
class ContextCache:
    """One context cache; `cache_id` is its id at the API, None while it is being created.

    While it is being created, `expires_at` is when another proxy may try instead.
    """

    id: int
    endpoint: str
    key_fingerprint: str
    prefix_hash: bytes
    prefix_messages: int
    prefix_bytes: int
    model: str | None
    cache_id: str | None
    state: CacheState
    tokens: int | None
    uses: int
    created_at: int
    used_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim to create a cache, exclusive until `until`."""

    endpoint: str
    key_fingerprint: str
    prefix_hash: bytes
    prefix_messages: int
    prefix_bytes: int
    model: str
    now: int
    until: int


NAMES = tuple(field.name for field in fields_of(ContextCache))
COLUMNS = [CONTEXT_CACHES.c[name] for name in NAMES]


def to_cache(row: RowMapping) -> ContextCache:
    """Return a row of the table as a ContextCache."""
    return ContextCache(**{name: row[name] for name in NAMES})


def all_caches(engine: Engine) -> list[ContextCache]:
    """Return all caches, most recently used first."""
    query = select(*COLUMNS).order_by(CONTEXT_CACHES.c.used_at.desc(), CONTEXT_CACHES.c.id.desc())
    with engine.connect() as connection:
        return [to_cache(row) for row in connection.execute(query).mappings()]


def find(engine: Engine, name: str) -> ContextCache | None:
    """Return the cache with this row number or API id."""
    is_number = name.isascii() and name.isdigit() and len(name) < 20 and int(name) <= MAX_INT64
    column = CONTEXT_CACHES.c.id == int(name) if is_number else CONTEXT_CACHES.c.cache_id == name
    with engine.connect() as connection:
        row = connection.execute(select(*COLUMNS).where(column)).mappings().first()
    return None if row is None else to_cache(row)


def alive(engine: Engine, endpoint: str, key_fingerprint: str, now: int) -> list[ContextCache]:
    """Return the usable caches of one key, most recently used first."""
    query = (
        select(*COLUMNS)
        .where(
            CONTEXT_CACHES.c.endpoint == endpoint,
            CONTEXT_CACHES.c.key_fingerprint == key_fingerprint,
            CONTEXT_CACHES.c.state == "ready",
            CONTEXT_CACHES.c.expires_at > now,
        )
        .order_by(CONTEXT_CACHES.c.used_at.desc())
        .limit(MAX_CACHES)
    )
    with engine.connect() as connection:
        return [to_cache(row) for row in connection.execute(query).mappings()]


def claim(engine: Engine, new_claim: Claim) -> int | None:
    """Record that a cache is being created and return its row number; None if one exists or is being created.

    An expired row is taken over: its cache was dropped by the API, or its creator died.
    """
    try:
        with writing(engine) as connection:
            return _take_over(connection, new_claim) or _insert(connection, new_claim)
    except IntegrityError:  # claimed by another proxy
        return None


def _take_over(connection: Connection, new_claim: Claim) -> int | None:
    place = (
        CONTEXT_CACHES.c.endpoint == new_claim.endpoint,
        CONTEXT_CACHES.c.key_fingerprint == new_claim.key_fingerprint,
        CONTEXT_CACHES.c.prefix_hash == new_claim.prefix_hash,
    )
    statement = update(CONTEXT_CACHES).where(*place, CONTEXT_CACHES.c.expires_at <= new_claim.now)
    if connection.execute(statement.values(_claimed(new_claim))).rowcount == 0:
        return None
    number: int = connection.execute(select(CONTEXT_CACHES.c.id).where(*place)).scalar_one()
    return number


def _insert(connection: Connection, new_claim: Claim) -> int:
    place: Values = {
        "endpoint": new_claim.endpoint,
        "key_fingerprint": new_claim.key_fingerprint,
        "prefix_hash": new_claim.prefix_hash,
    }
    inserted = connection.execute(insert(CONTEXT_CACHES).values(place | _claimed(new_claim)))
    return cast("tuple[int]", inserted.inserted_primary_key)[0]


def _claimed(new_claim: Claim) -> Values:
    return {
        "prefix_messages": new_claim.prefix_messages,
        "prefix_bytes": new_claim.prefix_bytes,
        "model": new_claim.model,
        "cache_id": None,
        "state": "creating",
        "tokens": None,
        "uses": 0,
        "created_at": new_claim.now,
        "used_at": new_claim.now,
        "expires_at": new_claim.until,
    }


def finish(engine: Engine, number: int, cache_id: str, *, tokens: int | None, expires_at: int) -> bool:
    """Record that a cache is ready; return False if its row has been deleted."""
    values: Values = {"state": "ready", "cache_id": cache_id, "tokens": tokens, "expires_at": expires_at}
    return _change(engine, number, values)


def touch(engine: Engine, number: int, *, uses: int, used_at: int, expires_at: int) -> bool:
    """Record the use of a cache; return False if its row has been deleted."""
    values: Values = {"uses": CONTEXT_CACHES.c.uses + uses, "used_at": used_at, "expires_at": expires_at}
    return _change(engine, number, values)


def _change(engine: Engine, number: int, values: Values) -> bool:
    with writing(engine) as connection:
        statement = update(CONTEXT_CACHES).where(CONTEXT_CACHES.c.id == number).values(values)
        return connection.execute(statement).rowcount > 0


def forget(engine: Engine, numbers: Iterable[int]) -> None:
    """Delete the rows of caches."""
    with writing(engine) as connection:
        for number in numbers:
            connection.execute(delete(CONTEXT_CACHES).where(CONTEXT_CACHES.c.id == number))


def pop_unused(engine: Engine, before: int) -> list[ContextCache]:
    """Delete the caches that were last used before a time; return them."""
    query = select(*COLUMNS).where(CONTEXT_CACHES.c.used_at < before)
    with engine.connect() as connection:
        caches = [to_cache(row) for row in connection.execute(query).mappings()]
    with writing(engine) as connection:
        # A cache used again meanwhile, or deleted by another proxy, is left out.
        still = CONTEXT_CACHES.c.used_at < before
        statement = delete(CONTEXT_CACHES).where(still)
        return [
            cache for cache in caches if connection.execute(statement.where(CONTEXT_CACHES.c.id == cache.id)).rowcount
        ]


def clear(engine: Engine, *, expired_at: int | None = None) -> int:
    """Delete all rows, or only those that have expired at `expired_at`; return their number."""
    statement = delete(CONTEXT_CACHES)
    if expired_at is not None:
        statement = statement.where(CONTEXT_CACHES.c.expires_at <= expired_at)
    with writing(engine) as connection:
        return connection.execute(statement).rowcount


def withdraw_created(engine: Engine, uuid: str) -> bool:
    """Change a call's cache outcome from `created` to `miss`; return whether it was `created`."""
    columns = EXCHANGES.c
    change = update(EXCHANGES).where(columns.uuid == uuid, columns.cache_outcome == "created")
    with writing(engine) as connection:
        return connection.execute(change.values(cache_outcome="miss")).rowcount > 0

"""The labels of calls: category, note and tags."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, literal, select, update

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records.insertion import insert_into
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, TAGS

BATCH_SIZE = 500
"""Rows per statement: fewer than the variables that any SQLite version allows."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of labels; `None` keeps a label, an empty text removes it."""

    category: str | None = None
    note: str | None = None
    tag: tuple[str, ...] = ()
    untag: tuple[str, ...] = ()


def change(engine: Engine, ids: Sequence[int], changes: Change) -> int:
    """Label the calls; return the number of those that exist.

    A tag that is both added and removed is removed. Every few hundred calls are a transaction of their own, so that a
    proxy never waits long.
    """
    labelled = 0
    for some in chunks(ids):
        with writing(engine) as connection:
            labelled += change_batch(connection, some, changes)
    return labelled


def change_batch(connection: Connection, ids: Sequence[int], changes: Change) -> int:
    """Label a batch of calls."""
    labels = {"category": changes.category, "note": changes.note}
    values: Values = {name: value or None for name, value in labels.items() if value is not None}
    if values:
        connection.execute(update(EXCHANGES).where(EXCHANGES.c.id.in_(ids)).values(values))
    for tag in changes.tag:
        add_tag(connection, ids, tag)
    if changes.untag:
        connection.execute(delete(TAGS).where(TAGS.c.exchange_id.in_(ids), TAGS.c.tag.in_(changes.untag)))
    count = select(func.count()).select_from(EXCHANGES).where(EXCHANGES.c.id.in_(ids))
    return connection.execute(count).scalar_one()


def add_tag(connection: Connection, ids: Sequence[int], tag: str) -> None:
    """Add a tag to those of the calls that exist and do not have it."""
    rows = select(EXCHANGES.c.id, literal(tag)).where(EXCHANGES.c.id.in_(ids))
    insert = insert_into(TAGS, connection.dialect.name)
    connection.execute(insert.from_select(["exchange_id", "tag"], rows).on_conflict_do_nothing())


def tags_of(engine: Engine, ids: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
    """Return the tags of these calls, sorted; calls without tags are left out."""
    tags_by_id: dict[int, list[str]] = {}
    with engine.connect() as connection:
        for some in chunks(ids):
            query = select(TAGS.c.exchange_id, TAGS.c.tag).where(TAGS.c.exchange_id.in_(some))
            for exchange_id, tag in connection.execute(query):
                tags_by_id.setdefault(exchange_id, []).append(tag)
    return {exchange_id: tuple(sorted(tags)) for exchange_id, tags in tags_by_id.items()}


def all_tags(engine: Engine, *, beginning: str = "", limit: int = 1000) -> list[tuple[str, int]]:
    """Return the tags with this prefix and their numbers of calls, most used first."""
    calls = func.count().label("calls")
    query = select(TAGS.c.tag, calls).group_by(TAGS.c.tag).order_by(calls.desc(), TAGS.c.tag).limit(limit)
    if beginning:
        query = query.where(TAGS.c.tag.startswith(beginning, autoescape=True))
    with engine.connect() as connection:
        return [(row.tag, row.calls) for row in connection.execute(query)]


def chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    """Yield the distinct ids in batches of a few hundred."""
    distinct = list(dict.fromkeys(ids))
    for start in range(0, len(distinct), BATCH_SIZE):
        yield distinct[start : start + BATCH_SIZE]

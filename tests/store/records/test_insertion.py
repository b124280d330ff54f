"""Inserting many rows at once."""

from sqlalchemy import Boolean, Column, Integer, LargeBinary, MetaData, Table, Text, create_engine, select

from moonpalace_addons.store.records.insertion import insert_many
from moonpalace_addons.store.tasks import State

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("text", Text),
    Column("flag", Boolean),
    Column("data", LargeBinary),
)


def test_rows_are_those_that_sqlalchemy_would_insert() -> None:
    """Values of all kinds are read back unchanged, whatever the order of the columns."""
    rows: list[dict[str, object]] = [
        {"flag": True, "id": 1, "text": State.COMPLETED, "data": b"\x00\xff"},
        {"data": None, "text": "月'\"", "id": 2, "flag": None},
        {"id": 2**62, "text": None, "flag": False, "data": b""},
    ]
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        THINGS.create(connection)
        for row in rows:
            insert_many(connection, THINGS, tuple(row), [tuple(row.values())])
        insert_many(connection, THINGS, ("id",), [])
        results = [dict(row) for row in connection.execute(select(THINGS).order_by(THINGS.c.id)).mappings()]
    engine.dispose()
    assert results == rows
    assert type(results[0]["text"]) is str

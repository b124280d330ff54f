"""How a database writes a condition on calls, and how it means to look for them."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Engine, select

from moonpalace_addons.store.records.ordering import NEWEST_FIRST
from moonpalace_addons.store.schema import EXCHANGES

SHOWN = 10
"""How many calls a list has by default: what the plan is made for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The query for the newest calls: its SQL, the values of its parameters, the steps of the plan."""

    sql: str
    values: list[object]
    steps: list[str]


def plan(condition: ColumnElement[bool], engine: Engine) -> Plan:
    """Return how the newest calls for which the condition holds are found."""
    query = select(EXCHANGES.c.id).where(condition).order_by(*NEWEST_FIRST).limit(SHOWN)
    compiled = query.compile(engine, compile_kwargs={"render_postcompile": True})
    values = cast(dict[str, object], compiled.construct_params() or {})
    if engine.dialect.name != "sqlite":
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(f"EXPLAIN {compiled}", values).all()
        return Plan(str(compiled), [*values.items()], [str(row[0]).strip() for row in rows])
    ordered = [values[name] for name in getattr(compiled, "positiontup", None) or ()]
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(ordered)).all()
    return Plan(str(compiled), ordered, [str(row[-1]) for row in rows])

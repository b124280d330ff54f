"""The SQL and the query plan for a condition on calls."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Engine, select

from moonpalace_addons.store.records.ordering import NEWEST_FIRST
from moonpalace_addons.store.schema import EXCHANGES

DEFAULT_LIMIT = 10
"""The default length of `mpal list`, for which the plan is made."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The query for the newest calls: SQL, parameter values and steps of the plan."""

    sql: str
    values: list[object]
    steps: list[str]


def plan(condition: ColumnElement[bool], engine: Engine) -> Plan:
    """Return the plan for finding the newest calls for which the condition holds."""
    query = select(EXCHANGES.c.id).where(condition).order_by(*NEWEST_FIRST).limit(DEFAULT_LIMIT)
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

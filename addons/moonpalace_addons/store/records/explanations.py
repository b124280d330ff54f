"""Explanations of calls by models."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, func, insert, select

from moonpalace_addons.store.records.exchanges import moment
from moonpalace_addons.store.records.labels import chunks
from moonpalace_addons.store.records.values import microseconds
from moonpalace_addons.store.schema import EXCHANGES, EXPLANATIONS


@dataclass(frozen=True, slots=True)
class Explanation:
    """The text that a model gave about `calls` calls; `call_uuid` is the uuid of the call in which it answered.

    `question` is the user's, None for "what went wrong?".
    """

    call_uuid: str
    created_at: datetime
    endpoint: str
    model: str
    language: str
    question: str | None
    calls: int
    text: str


MAX_SHOWN = 20
"""Maximum explanations that `of_some` returns."""
FIELDS = [EXPLANATIONS.c[name] for name in Explanation.__slots__]


def keep(connection: Connection, ids: Sequence[int], explanation: Explanation) -> None:
    """Store an explanation for those of its calls that still exist."""
    values = asdict(explanation) | {"created_at": microseconds(explanation.created_at)}
    for some in chunks(ids):
        there = connection.execute(select(EXCHANGES.c.id).where(EXCHANGES.c.id.in_(some))).scalars().all()
        if there:
            connection.execute(insert(EXPLANATIONS), [values | {"exchange_id": row_id} for row_id in there])


def of_call(engine: Engine, row_id: int) -> list[Explanation]:
    """Return the explanations of a call, oldest first."""
    query = select(*FIELDS).where(EXPLANATIONS.c.exchange_id == row_id).order_by(EXPLANATIONS.c.created_at)
    with engine.connect() as connection:
        return [to_explanation(row) for row in connection.execute(query)]


def of_exactly(engine: Engine, ids: Sequence[int], question: str | None, language: str) -> Explanation | None:
    """Return the newest explanation of exactly these calls that answers a question in a language."""
    alike = (
        EXPLANATIONS.c.calls == len(ids),
        EXPLANATIONS.c.language == language,
        EXPLANATIONS.c.question.is_not_distinct_from(question),
    )
    first = select(*FIELDS).where(EXPLANATIONS.c.exchange_id == ids[0], *alike)
    with engine.connect() as connection:
        for row in connection.execute(first.order_by(EXPLANATIONS.c.created_at.desc())):
            explanation = to_explanation(row)
            if all_of(connection, explanation.call_uuid, ids):
                return explanation
    return None


def of_some(engine: Engine, ids: Sequence[int]) -> list[Explanation]:
    """Return the newest explanations of several calls together that include at least one of these, oldest first."""
    query = select(*FIELDS).where(EXPLANATIONS.c.exchange_id.in_(ids), EXPLANATIONS.c.calls > 1).distinct()
    with engine.connect() as connection:
        rows = list(connection.execute(query.order_by(EXPLANATIONS.c.created_at.desc()).limit(MAX_SHOWN)))
    return [to_explanation(row) for row in reversed(rows)]


def all_of(connection: Connection, call_uuid: str, ids: Sequence[int]) -> bool:
    """Return whether an explanation is stored for all these calls."""
    mine = EXPLANATIONS.c.call_uuid == call_uuid
    counts = (
        connection.execute(select(func.count()).where(mine, EXPLANATIONS.c.exchange_id.in_(some))).scalar_one()
        for some in chunks(ids)
    )
    return sum(counts) == len(ids)


def has_been_asked(engine: Engine, endpoint: str, model: str) -> bool:
    """Return whether the store has any explanation by a model at an endpoint."""
    conditions = (EXPLANATIONS.c.endpoint == endpoint, EXPLANATIONS.c.model == model)
    with engine.connect() as connection:
        return connection.execute(select(EXPLANATIONS.c.exchange_id).where(*conditions).limit(1)).first() is not None


def to_explanation(row: Sequence[object]) -> Explanation:
    """Return the explanation of a row with `FIELDS`."""
    call_uuid, created_at, *others = row
    return Explanation(call_uuid, moment(created_at), *others)  # type: ignore[arg-type]

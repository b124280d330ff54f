"""Turn the texts of predicates into one condition on the calls of a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import ColumnElement, Engine, and_, true

from moonpalace_cli.predicate import functions, searching
from moonpalace_cli.predicate.compiler import Compiler
from moonpalace_cli.predicate.parser import parse


def condition(texts: Sequence[str], engine: Engine) -> ColumnElement[bool]:
    """Return the condition on EXCHANGES that all predicates hold, for queries through `engine`, which it prepares.

    Lengths of time like -2h count from now. Raises PredicateError for the first mistake.
    """
    functions.install(engine)
    compiler = Compiler(
        engine.dialect.name, datetime.now(UTC), partial(searching.condition, dialect=engine.dialect.name)
    )
    return and_(true(), *(compiler.condition(parse(text), text) for text in texts))

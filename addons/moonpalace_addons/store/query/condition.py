"""Combine predicates into one condition on the calls of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import ColumnElement, Engine, and_, true

from moonpalace_addons.store.query import functions, searching, words
from moonpalace_addons.store.query.compiler import Compiler
from moonpalace_addons.store.query.parser import parse
from moonpalace_addons.store.query.tree import Comparator, Comparison, Node, children


def condition(texts: Sequence[str], engine: Engine) -> ColumnElement[bool]:
    """Return the condition on EXCHANGES that all predicates hold, and prepare `engine` for it.

    Relative times such as -2h count from now. Raises PredicateError for the first mistake.
    """
    functions.install(engine)
    compiler = Compiler(engine.dialect.name, datetime.now(UTC), partial(searching.condition, engine=engine))
    trees = [(parse(text), text) for text in texts]
    if any(comparator in ("%", "!%") for tree, _ in trees for comparator in comparators(tree)):
        functions.limit_time(engine)
    return and_(true(), *(compiler.condition(tree, text) for tree, text in trees))


def check(text: str, dialect: str) -> None:
    """Raise PredicateError if a text is not a valid predicate; this needs no store, only the name of its dialect."""
    compiler = Compiler(dialect, datetime.now(UTC), lambda phrase: searching.exact(words.terms(phrase), dialect))
    compiler.condition(parse(text), text)


def comparators(tree: Node) -> Iterator[Comparator]:
    """Yield the operators in a tree."""
    if isinstance(tree, Comparison):
        yield tree.comparator
    for child in children(tree):
        yield from comparators(child)

"""Random predicates: a result or a mistake, and never a change of the database."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.query.parser import parse
from tests.store.query.conftest import Calls
from tests.store.query.random_texts import RANDOM

TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["%", "*", "_", "x*", "\\", "'", "';--", "tool", "kimi", "2024-07-29", "(a|b)+"]),
)
STEP = st.one_of(
    st.sampled_from(["messages", "role", "choices", "*", "0", "-1", "k", '`a "b"`']),
    st.text(min_size=1, max_size=6).map(lambda name: f"`{name.replace('`', '``')}`"),
)
PATH = st.one_of(
    st.sampled_from(sorted(FIELDS)),
    st.tuples(st.sampled_from(["request_body", "response_body"]), st.lists(STEP, max_size=4)).map(
        lambda parts: ".".join((parts[0], *parts[1]))
    ),
)


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


LITERAL = st.one_of(
    TEXT.map(quoted),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["true", "false", "NULL", "today", "-2h", "30ms", "[1, 'x', NULL]"]),
)
OPERATORS = ("==", "!=", ">", ">=", "<", "<=", "~", "!~", "%", "!%", "@", "!@")
COMPARISON = st.one_of(
    st.tuples(PATH, st.sampled_from(OPERATORS), LITERAL).map(" ".join),
    PATH,
    PATH.map(lambda path: f"len({path}) > 1"),
)
PREDICATE = st.recursive(
    COMPARISON,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: f"({' '.join(parts)})"),
    ),
    max_leaves=4,
)
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@given(RANDOM)
@settings(max_examples=500)
def test_any_text_is_parsed_or_a_mistake(text: str) -> None:
    """The parser raises nothing but PredicateError, which prints on any terminal."""
    try:
        parse(text)
    except PredicateError as error:
        assert len(error.detail.splitlines()) == 2  # noqa: PT017 - either is right


def digest(file: Path) -> list[str | None]:
    """Return a hash of a database's files."""
    files = (file, file.with_name(f"{file.name}-wal"))
    return [hashlib.sha256(each.read_bytes()).hexdigest() if each.exists() else None for each in files]


@given(st.one_of(PREDICATE, RANDOM))
@QUIET
def test_no_predicate_changes_the_file(filled_sqlite: Calls, file: Path, text: str) -> None:
    """Any predicate gives calls or a mistake, and the file is unchanged byte for byte."""
    filled_sqlite.holding("id == 1")  # the first connection makes an empty -wal file
    before = digest(file)
    try:
        result = filled_sqlite.holding(text)
        assert set(result) <= set(filled_sqlite.names.values())
    except PredicateError:
        pass
    assert digest(file) == before


@given(PREDICATE)
@QUIET
def test_both_databases_give_the_same(filled_sqlite: Calls, filled_postgresql: Calls, text: str) -> None:
    """A valid predicate gives the same calls on both databases; none makes a database fail."""
    try:
        expected = filled_sqlite.holding(text)
    except PredicateError:
        return
    try:
        assert filled_postgresql.holding(text) == expected
    except PredicateError as error:
        assert "on PostgreSQL" in str(error)  # noqa: PT017 - some regular expressions


def test_no_statement_but_select(filled_sqlite: Calls) -> None:
    """A condition is part of a query with every value as a parameter, so that none is read as SQL."""
    text = "model == \"'; DROP TABLE exchanges; --\" || request_body.`x'; --` == 1 || tags == '\\'; --'"
    assert "DROP" not in str(condition([text], filled_sqlite.engine))
    assert filled_sqlite.holding(text) == []

"""Compile word searches in messages and answers to conditions that read the bodies of candidate calls."""

from __future__ import annotations

import json

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Engine,
    LargeBinary,
    String,
    Text,
    and_,
    case,
    cast,
    collate,
    column,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import UserDefinedType

from moonpalace_addons.store.query import words
from moonpalace_addons.store.query.candidates import candidates
from moonpalace_addons.store.query.patterns import ESCAPE
from moonpalace_addons.store.query.values import Condition, bound
from moonpalace_addons.store.records.body_scan import holds, searched_text
from moonpalace_addons.store.records.body_text import SIDES
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.wire.chat.searched import SEARCHED_KEYS

NAMED = " || ".join(f'@.key == "{key}"' for key in SEARCHED_KEYS)
MEMBERS = f'$.** ? (@.type() == "object").keyvalue() ? (@.value.type() == "string" && ({NAMED}))'
"""The searched strings, as an SQL/JSON path."""


class JsonPath(UserDefinedType[str]):
    """PostgreSQL's type jsonpath. Importing SQLAlchemy's own takes 0.06 s, also for searches on SQLite."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name."""
        return "JSONPATH"


def condition(phrase: str, engine: Engine) -> Condition:
    """Return the condition that all words occur in a call; raises ValueError if there are none."""
    terms = words.terms(phrase)
    may_have = candidates(terms, engine)
    matches = exact(terms, engine.dialect.name)
    if not may_have.without:
        return matches
    likely = may_have.condition(engine.dialect.name)
    if engine.dialect.name == "sqlite":  # a plain AND lets SQLite find the calls by the list
        return and_(likely, matches)
    return type_coerce(case((likely, matches), else_=false()), Boolean())  # with AND, PostgreSQL may read bodies first


def exact(terms: tuple[words.Term, ...], dialect: str) -> Condition:
    """Return the condition that all these terms occur in the bodies of a call."""
    return sqlite(terms) if dialect == "sqlite" else and_(*(postgresql(term) for term in terms))


def sqlite(terms: tuple[words.Term, ...]) -> Condition:
    """Return the condition on SQLite: Python searches the bodies that contain the longest word as a substring."""
    bodies = select(*(searched_text(side, "sqlite").label(side) for side in SIDES)).subquery()
    request, response = bodies.c.request, bodies.c.response
    packed = literal(json.dumps(terms), String())
    matches = func.moonpalace_words(packed, cast(request, LargeBinary), cast(response, LargeBinary)) == 1
    rare = words.rarest(word for term in terms for word in term)
    likely = or_(may_contain(request, rare), may_contain(response, rare))
    result = select(case((likely, matches), else_=false())).select_from(bodies).correlate(EXCHANGES).scalar_subquery()
    return type_coerce(result, Boolean())


def may_contain(body: ColumnElement[str], word: str) -> Condition:
    r"""Return the condition that a body may contain a word, literally or as \uXXXX escapes.

    ASCII letters are never escaped in practice. LIKE ignores case for ASCII letters only.
    """
    if word.isascii():
        return holds(body, word)
    spellings = list(dict.fromkeys((word, word.upper(), word.title())))
    if len(spellings) == 1:
        return or_(holds(body, "\\u"), func.moonpalace_holds(cast(body, LargeBinary), bound(word)) == 1)
    return or_(*(holds(body, spelling) for spelling in (*spellings, "\\u")))


def postgresql(term: words.Term) -> Condition:
    """Return the condition that a term occurs in one of a call's bodies, on PostgreSQL."""
    return or_(*(postgresql_body(searched_text(side, "postgresql"), term) for side in SIDES))


def postgresql_body(text: ColumnElement[str | None], term: words.Term) -> Condition:
    """Return the condition that a term occurs in a body, on PostgreSQL."""
    body = select(text.label("body")).offset(0).subquery()
    likely = or_(*(collate(body.c.body, "C").ilike(bound(f"%{mark}%"), escape=ESCAPE) for mark in marks(term)))
    document = func.moonpalace_jsonb(body.c.body)
    queried = func.jsonb_path_query(document, cast(MEMBERS, JsonPath()))
    members = queried.table_valued(column("value", JSON), name="member", joins_implicitly=True).render_derived()
    string = members.c.value.op("->>", return_type=Text())(literal("value", Text()))
    matching = string.op("~*", is_comparison=True)(bound(words.postgresql_pattern(term)))
    matches = exists(select(literal(1)).select_from(members).where(matching).correlate_except(members))
    result = select(case((likely, matches), else_=false())).select_from(body).correlate(EXCHANGES).scalar_subquery()
    return type_coerce(result, Boolean())


def marks(term: words.Term) -> list[str]:
    """Return substrings, at least one of which every body with the term contains."""
    longest = words.rarest(term)
    escaped = longest.replace("_", f"{ESCAPE}_")
    return [escaped] if longest.isascii() else [escaped, longest.upper(), longest.title(), "\\u"]

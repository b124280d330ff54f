"""Narrow a word search to the calls that may match, by the word index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Engine,
    Integer,
    Select,
    String,
    TableValuedAlias,
    any_,
    cast,
    column,
    func,
    literal,
    not_,
    select,
)

from moonpalace_addons.store.query import words
from moonpalace_addons.store.query.values import Condition
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.values import MAX_INT64
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.upkeep import search_blocks
from moonpalace_addons.store.upkeep.search_blocks import block_of_call, first_id
from moonpalace_addons.wire.word_filter import places
from moonpalace_addons.wire.words import is_east_asian, is_letter, query_tokens


@dataclass(frozen=True, slots=True)
class Candidates:
    """The calls that may contain the words: all except those in the blocks `without`, out of about `blocks` blocks.

    Calls that are not indexed yet, and calls stored later, are candidates too.
    """

    without: list[int]
    blocks: int

    def condition(self, dialect: str) -> Condition:
        """Return the condition that a call is a candidate; it is never NULL."""
        if dialect != "sqlite":
            return not_(block_of_call() == any_(cast(array_text(self.without), ARRAY(BigInteger))))
        if 2 * len(self.without) < self.blocks:  # most calls are candidates: scan from the newest
            return block_of_call().not_in(select(listed(self.without).c.value))
        return EXCHANGES.c.id.in_(ids_within(spans(self.without)))


def candidates(terms: Iterable[words.Term], engine: Engine) -> Candidates:
    """Return the calls that may contain all these terms."""
    with engine.connect() as connection:
        any_letters = connection.dialect.name == "sqlite" or search_blocks.knows_letters(connection)
        bits = [places(token) for token in tokens(terms, any_letters=any_letters)]
        without = search_blocks.without(connection, bits) if bits else []
        return Candidates(sorted(without), search_blocks.open_block(connection))


def share(phrase: str, engine: Engine) -> tuple[int, int]:
    """Return the number of calls a search reads, and the total number of calls."""
    where = candidates(words.terms(phrase), engine).condition(engine.dialect.name)
    return exchanges.count(engine, where=where), exchanges.count(engine)


def tokens(terms: Iterable[words.Term], *, any_letters: bool) -> list[str]:
    """Return the index tokens that every call matching these terms has."""
    indexed = {word for term in terms for word in term if is_whole(word, any_letters=any_letters)}
    return sorted({token for word in indexed for token in query_tokens(word)})


def is_whole(word: str, *, any_letters: bool) -> bool:
    """Return whether the database matches this word only as a whole word.

    Characters that it does not consider letters also match inside words: numerals such as ², and everything
    outside ASCII in a database whose locale knows only ASCII.
    """
    return word.isascii() or is_east_asian(word) or (any_letters and all(map(is_letter, word)))


def spans(blocks: list[int]) -> list[tuple[int, int]]:
    """Return the first and last id of each range of calls outside these blocks."""
    ranges, start = list[tuple[int, int]](), 0
    for block in blocks:
        if first_id(block) > start:
            ranges.append((start, first_id(block) - 1))
        start = first_id(block + 1)
    return [*ranges, (start, MAX_INT64)]


def ids_within(ranges: list[tuple[int, int]]) -> Select[int]:
    """Return a query for the ids of the calls in these ranges, on SQLite."""
    inner, table = EXCHANGES.alias("candidates"), listed(ranges)
    first, last = (func.json_extract(table.c.value, f"$[{place}]", type_=BigInteger()) for place in (0, 1))
    return select(inner.c.id).select_from(table.join(inner, inner.c.id.between(first, last)))


def listed(values: Sequence[object]) -> TableValuedAlias:
    """Return a list as a table with the column `value`, passed as one parameter, on SQLite."""
    packed = literal(json.dumps(values), String())
    return func.json_each(packed).table_valued(column("value", Integer), name="listed", joins_implicitly=True)


def array_text(numbers: list[int]) -> ColumnElement[str]:
    """Return a list as one parameter in PostgreSQL's array syntax, which it searches by hash."""
    return literal(f"{{{','.join(map(str, numbers))}}}", String())

"""Tests of the word index: a search that relies on it misses nothing, whatever happens to the calls."""

import json
import threading
from collections.abc import Callable, Generator, Iterable, Sequence

import pytest
from sqlalchemy import Connection, Engine, event, literal, text, update

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import exchanges, runs
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import ExchangeEnded
from moonpalace_addons.store.upkeep import cleaning, indexing, search_blocks
from moonpalace_addons.store.upkeep.indexing import index
from moonpalace_addons.store.upkeep.retention import Rule
from moonpalace_addons.store.upkeep.search_blocks import BLOCK_SIZE
from moonpalace_addons.store.write import recovery
from moonpalace_addons.wire.word_filter import places
from tests.batches import Batch
from tests.tasks import ended, request_read, response_started

type Store = Callable[..., Batch]


@pytest.fixture
def store(engine: Engine, run_id: str) -> Store:
    """Give a function that stores calls with these texts; those that are `under_way` have an end only in the batch."""

    def put(texts: Iterable[str], under_way: frozenset[str] = frozenset()) -> Batch:
        batch = Batch(run_id, b"k" * 32)
        ends = list[ExchangeEnded]()
        for words in texts:
            call = request_read(body=body(words))
            end = ended(call, response=response_started(call, [body(f"answered{words}")]))
            batch.plan([call, *([] if words in under_way else [end])], keep=False)
            ends += [end] if words in under_way else []
        commit(engine, batch)
        batch.plan(ends, keep=False)
        return batch

    return put


def body(words: str) -> bytes:
    return json.dumps({"messages": [{"content": words}]}).encode()


def commit(engine: Engine, batch: Batch) -> None:
    with writing(engine) as connection:
        batch.store(connection)
    batch.stored()


def done(engine: Engine, block: int = 0) -> bool:
    """Index a block; return whether that succeeded."""
    return finished(index(engine, block))


def finished(steps: Generator[None, None, bool]) -> bool:
    """Run all remaining steps; return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bool(end.value)


def indexed(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [block for (block,) in connection.execute(text("SELECT block FROM search_blocks ORDER BY block"))]


def missing(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return search_blocks.missing(connection, 0, search_blocks.open_block(connection))


def may_contain(engine: Engine, *tokens: str) -> bool:
    """Return whether block 0 may have these tokens, as a search does."""
    with engine.connect() as connection:
        return search_blocks.without(connection, [places(token) for token in tokens]) == []


def numbered(number: int) -> list[str]:
    return [f"word{place}" for place in range(number)]


def test_a_block_has_the_words_of_its_calls(engine: Engine, store: Store) -> None:
    """Words of requests and answers may be contained; almost no others."""
    store(numbered(BLOCK_SIZE))
    assert done(engine)
    assert indexed(engine) == [0]
    assert all(may_contain(engine, word, f"answered{word}") for word in numbered(BLOCK_SIZE - 1))
    assert sum(may_contain(engine, f"other{number}") for number in range(100)) < 10
    assert may_contain(engine)


def test_a_large_body_is_not_read(engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its block may contain any word, so that a search reads its calls."""
    monkeypatch.setattr(indexing, "MAX_BODY_LENGTH", 10_000)
    monkeypatch.delattr(search_blocks, "bodies")
    store(["large" * 2_000, *numbered(BLOCK_SIZE - 1)])
    assert done(engine)
    assert may_contain(engine, "any", "word")


def test_a_body_of_unknown_size_is_not_read(engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoded answer beyond `max-body` may be of any size."""
    monkeypatch.delattr(search_blocks, "bodies")
    store(numbered(BLOCK_SIZE))
    with writing(engine) as connection:
        connection.execute(update(EXCHANGES).where(EXCHANGES.c.id == 2).values(response_bytes=None))
    assert done(engine)
    assert may_contain(engine, "any", "word")


def test_only_blocks_that_get_no_more_calls(engine: Engine, store: Store) -> None:
    """A block is indexed only after the last of its ids has been used."""
    store(numbered(BLOCK_SIZE - 2))
    assert missing(engine) == []
    assert not done(engine)
    store(numbered(1))
    assert missing(engine) == [0]
    assert done(engine)
    assert missing(engine) == []
    store(numbered(2 * BLOCK_SIZE))
    assert missing(engine) == [2, 1]


def test_only_blocks_without_calls_under_way(engine: Engine, store: Store) -> None:
    """A block is indexed only after all its calls have ended."""
    batch = store(numbered(BLOCK_SIZE), under_way=frozenset(["word9"]))
    assert not done(engine)
    commit(engine, batch)
    assert done(engine)
    assert may_contain(engine, "answeredword9")


def test_a_block_of_deleted_calls(engine: Engine, store: Store) -> None:
    """A block without any call is not requested, and cannot be indexed."""
    store(numbered(2 * BLOCK_SIZE))
    with writing(engine) as connection:
        connection.execute(text(f"DELETE FROM exchanges WHERE id < {BLOCK_SIZE}"))
    assert missing(engine) == [1]
    assert not done(engine, 0)


def test_a_call_that_changes_meanwhile(engine: Engine, store: Store) -> None:
    """If a call changes or is deleted while the words are gathered, its block is not indexed."""
    store(numbered(BLOCK_SIZE))
    for change in ("UPDATE exchanges SET response_parts = NULL", "DELETE FROM exchanges"):
        steps = index(engine, 0)
        next(steps)
        with writing(engine) as connection:
            connection.execute(text(f"{change} WHERE id = 7"))
        assert not finished(steps)
        assert indexed(engine) == []
    assert done(engine)


def test_a_call_whose_true_end_comes_later(engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that was indexed with a provisional end of a call loses its index."""
    batch = store(numbered(BLOCK_SIZE), under_way=frozenset(["word9"]))
    monkeypatch.setattr(recovery, "HEARTBEAT_TIMEOUT", -1)
    monkeypatch.setattr(runs, "database_started", lambda: literal(0))
    with writing(engine) as connection:
        assert recovery.recover(connection, ()) == 1
    assert done(engine)
    assert not may_contain(engine, "answeredword9")
    commit(engine, batch)
    assert indexed(engine) == []
    assert done(engine)
    assert may_contain(engine, "answeredword9")


def test_labels_leave_it_alone(engine: Engine, store: Store) -> None:
    """Changes that do not affect a call's texts do not affect the index."""
    store(numbered(BLOCK_SIZE))
    assert done(engine)
    with writing(engine) as connection:
        exchanges.update_exchanges(connection, [{"id": 7, "category": "goodcase"}])
    assert indexed(engine) == [0]


def test_several_at_once(engine: Engine, store: Store) -> None:
    """Two proxies that index the same block do no harm."""
    store(numbered(BLOCK_SIZE))
    first, second = index(engine, 0), index(engine, 0)
    next(first)
    next(second)
    assert finished(first)
    assert finished(second)
    assert indexed(engine) == [0]


def test_it_goes_with_its_calls(engine: Engine, store: Store) -> None:
    """A clean-up deletes the index of blocks without calls."""
    store(numbered(3 * BLOCK_SIZE))
    assert [done(engine, block) for block in (0, 1, 2)] == [True] * 3
    cleaning.clean(engine, Rule(keep_last=BLOCK_SIZE + 5), None, threading.Event())
    assert indexed(engine) == [1, 2]
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM exchanges"))
    cleaning.sweep(engine, threading.Event())
    assert indexed(engine) == []


def test_bodies_are_read_in_portions(engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all bodies of a block are in memory at once."""
    store(numbered(BLOCK_SIZE))
    monkeypatch.setattr(indexing, "READ_SIZE", 300)
    read = list[int]()

    def bodies(_: Connection, calls: Sequence[int]) -> list[str]:
        read.append(len(calls))
        return []

    monkeypatch.setattr(search_blocks, "bodies", bodies)
    done(engine)
    assert sum(read) == BLOCK_SIZE - 1
    assert max(read) < 10


def test_a_search_writes_nothing(engine: Engine, store: Store) -> None:
    """A query of the index takes no lock."""
    store(numbered(BLOCK_SIZE))
    done(engine)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    may_contain(engine, "word1")
    assert {one.split()[0] for one in statements} - {"BEGIN"} == {"SELECT"}
    assert not [one for one in statements if "IMMEDIATE" in one]


def test_catching_up(engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few missing blocks are all indexed; if there are many, none is."""
    store(numbered(3 * BLOCK_SIZE))
    monkeypatch.setattr(indexing, "MAX_CATCH_UP_BLOCKS", 2)
    indexing.catch_up(engine)
    assert indexed(engine) == []
    monkeypatch.setattr(indexing, "MAX_CATCH_UP_BLOCKS", 3)
    indexing.catch_up(engine)
    assert indexed(engine) == [0, 1, 2]

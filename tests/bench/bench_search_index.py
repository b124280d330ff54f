"""The size of the index of words for each captured byte, and the time for each call."""

import json
import random
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from sqlalchemy import Engine, func, select

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.schema import EXCHANGES, SEARCH_BLOCKS
from moonpalace_addons.store.upkeep import health_rows
from moonpalace_addons.store.upkeep.indexing import index
from moonpalace_addons.store.upkeep.search_blocks import BLOCK_SIZE
from tests.batches import Batch
from tests.bench import query_corpus
from tests.bench.bench_store import begun
from tests.bench.store_load import Author, Call, session, tasks

CALLS = 16 * BLOCK_SIZE
SIZE = 5_000
CHARACTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 3_500)]
ENGLISH = 60_000
"""Words for texts: the rarer, the later they come, as in natural texts."""


def time_corpus() -> Iterator[str]:
    """Bytes of the index in the store that predicates are measured on, of a vocabulary of 5,000 words."""
    engine = open_store(f"sqlite:///{query_corpus.store()}")
    yield share(engine)
    engine.dispose()


def time_texts() -> Iterator[str]:
    """1,024 calls: unrelated ones of 5 KB in words and characters as frequent as in natural texts, and a session."""
    yield from measured("English", english())
    yield from measured("Chinese", chinese())
    yield from measured("a session of 200 KB", list(session(streamed=False)))


def measured(name: str, calls: list[Call]) -> Iterator[str]:
    """Store and index calls."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_store(f"sqlite:///{Path(folder) / 'moonpalace.sqlite'}", create=True)
        batch, author = begun(engine), Author(3)
        for number, call in enumerate(calls):
            write(engine, batch, call, number, author)
        began, longest, blocks = time.thread_time(), 0.0, len(calls) // BLOCK_SIZE
        for block in range(blocks):
            before = time.thread_time()
            for _ in index(engine, block):
                now = time.thread_time()
                longest, before = max(longest, now - before), now
        each = (time.thread_time() - began) / blocks / BLOCK_SIZE
        yield f"{name}: {share(engine)}; {each * 1e3:.2f} ms for a call, the longest step {longest * 1e3:.0f} ms"
        engine.dispose()


def write(engine: Engine, batch: Batch, call: Call, number: int, author: Author) -> None:
    """Store a call."""
    batch.plan(list(tasks(call, number, author)), keep=False)
    with writing(engine) as connection:
        batch.store(connection)
    batch.stored()
    batch.finished()


def share(engine: Engine) -> str:
    """Return the index's size for each byte of received bodies, and of the store."""
    captured = select(func.sum(EXCHANGES.c.request_bytes + func.coalesce(EXCHANGES.c.response_bytes, 0)))
    with engine.connect() as connection:
        sizes = health_rows.table_sizes(connection)
        came = connection.execute(captured).scalar_one()
    words = sizes[SEARCH_BLOCKS.name]
    return f"{words / came:.4f} for each captured byte, {words / sum(sizes.values()):.4f} of the store"


def english() -> list[Call]:
    """Return calls of words of which the nth is 1/n as frequent as the first, and one in thirty a number."""
    chance = random.Random(1)
    words = Author(1).words + ["".join(chance.choices("etaoinshrdlu", k=chance.randint(4, 12))) for _ in range(ENGLISH)]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))

    def text(size: int) -> str:
        chosen = chance.choices(words, cum_weights=weights, k=size // 7)
        return " ".join(word if chance.random() < 0.97 else str(chance.randrange(10**6)) for word in chosen)

    return [call(text(SIZE - 1_000), text(1_000)) for _ in range(CALLS)]


def chinese() -> list[Call]:
    """Return calls of words of two characters, as frequent as those of English."""
    chance = random.Random(1)
    words = ["".join(chance.choices(CHARACTERS, k=2)) for _ in range(ENGLISH)]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))

    def text(size: int) -> str:
        return "".join(chance.choices([*words, "，"], cum_weights=[*weights, weights[-1] * 1.1], k=size // 6))

    return [call(text(SIZE - 1_000), text(1_000)) for _ in range(CALLS)]


def call(request: str, response: str) -> Call:
    """Return a call with these texts."""
    asked = {"model": "kimi-k3", "messages": [{"role": "user", "content": request}]}
    message = {"role": "assistant", "content": response}
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    sent, came = (json.dumps(each, ensure_ascii=False).encode() for each in (asked, answer))
    return Call(sent, came, is_stream=False)

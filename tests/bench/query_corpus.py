"""A store with many calls, written and indexed by the proxy's own code, kept between runs."""

import json
import os
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from itertools import batched
from pathlib import Path
from uuid import UUID

from sqlalchemy import insert

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import runs
from moonpalace_addons.store.revision import REVISION
from moonpalace_addons.store.schema import TAGS
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State, Task
from moonpalace_addons.store.upkeep.indexing import index
from moonpalace_addons.store.upkeep.search_blocks import BLOCK_SIZE
from tests.batches import Batch

CALLS = 100_000
BODY = 5_000
"""Approximate bytes of a request's body; an answer has a fifth of that."""
AT_ONCE = 500
VERSION = 3
"""Changed when the calls change, so that an older file is not used."""

VOCABULARY = 5_000
RARE = "quicksilver"
RARE_CHINESE = "月之暗面"
MODELS = ("kimi-k3",) * 60 + ("kimi-k2.6",) * 30 + ("moonshot-v1-128k",) * 9 + ("moonshot-v1-8k",)
REASONS = ("stop",) * 97 + ("length",) * 2 + ("tool_calls",)
STATUSES = (200,) * 97 + (429,) * 2 + (500,)


def store(calls: int = CALLS) -> Path:
    """Return the file of a store with this many calls, created if it does not exist."""
    file = (
        Path(tempfile.gettempdir()) / f"moonpalace-bench-{os.getuid()}" / f"query-{REVISION}-{VERSION}-{calls}.sqlite"
    )
    if not file.exists():
        file.parent.mkdir(mode=0o700, exist_ok=True)
        beginning = time.perf_counter()
        unfinished = file.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        write(unfinished, calls)
        unfinished.rename(file)
        print(f"   made {file} in {time.perf_counter() - beginning:.0f} s", file=sys.stderr, flush=True)  # noqa: T201
    return file


def write(file: Path, calls: int) -> None:
    """Write a store."""
    engine = open_store(f"sqlite:///{file}", create=True)
    run_id = str(UUID(int=1))
    run = {"id": run_id, "host": "here", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
    with writing(engine) as connection:
        runs.begin_run(connection, run)
    for some in batched(range(1, calls + 1), AT_ONCE):
        batch = Batch(run_id, b"k" * 32)
        batch.plan([task for number in some for task in call(number, calls)], keep=False)
        with writing(engine) as connection:
            batch.store(connection)
    with writing(engine) as connection:
        rows = [{"exchange_id": number, "tag": "seen"} for number in range(1, calls + 1, 1_000)]
        connection.execute(insert(TAGS), rows)
    for block in range(calls // BLOCK_SIZE):
        for _ in index(engine, block):
            pass
    engine.dispose()


def vocabulary() -> list[str]:
    """Return the words used in texts."""
    chance = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(VOCABULARY)]


WORDS = vocabulary()


def text(chance: random.Random, size: int) -> str:
    """Return words of about this many bytes."""
    return " ".join(chance.choices(WORDS, k=max(size // 7, 1)))


def call(number: int, calls: int) -> Iterator[Task]:
    """Give the tasks of a call; the newest of `calls` began a minute ago, each other one a second before the next."""
    chance = random.Random(number)
    uuid = str(UUID(int=number))
    model, status, streamed = chance.choice(MODELS), chance.choice(STATUSES), number % 10 == 0
    yield RequestRead(
        uuid=uuid,
        started_at=int((time.time() - 60 - (calls - number)) * 1e6),
        method="POST",
        endpoint="https://api.moonshot.cn",
        path="/v1/chat/completions",
        query="",
        headers="Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.50.0\r\n"
        "X-Stainless-Lang: python\r\n",
        content_type="application/json",
        content_encoding=None,
        client_request_id=None,
        body=json.dumps(request(chance, number, model, streamed=streamed), ensure_ascii=False).encode(),
    )
    response = ResponseStarted(
        uuid=uuid,
        at=200_000_000,
        status_code=status,
        headers=f"Content-Type: application/json\r\nMsh-Gid: g-test\r\nMsh-Request-Id: req-{number:08}-aaaa-bbbb\r\n"
        "Msh-Uid: u-test\r\nServer-Timing: inner; dur=101\r\n",
        content_type="text/event-stream" if streamed and status == 200 else "application/json",
        content_encoding=None,
        chunks=deque([(300_000_000, answer(chance, number, model, status, streamed=streamed))]),
    )
    latency = int(chance.lognormvariate(0, 1) * 1e9)
    yield ExchangeEnded(uuid=uuid, at=latency, state=State.COMPLETED, overhead=50_000, response=response)


def request(chance: random.Random, number: int, model: str, *, streamed: bool) -> dict[str, object]:
    """Return the body of a request; few have many messages, fewer a tool's result."""
    turns = 24 if number % 500 == 0 else chance.randint(2, 8)
    roles = ["system", *("user" if turn % 2 else "assistant" for turn in range(1, turns))]
    if number % 400 == 0:
        roles[-1] = "tool"
    messages = [{"role": role, "content": text(chance, BODY // turns - 30)} for role in roles]
    if number % 10_000 == 5:
        messages[-1]["content"] += f" {RARE} {RARE_CHINESE}，你好"
    body: dict[str, object] = {"model": model, "messages": messages, "temperature": 0.3}
    return body | ({"stream": True} if streamed else {})


def answer(chance: random.Random, number: int, model: str, status: int, *, streamed: bool) -> bytes:
    """Return what comes back."""
    if status != 200:
        return json.dumps({"error": {"type": "engine_overloaded_error", "message": "try again"}}).encode()
    prompt, completion = chance.randint(500, 2_000), chance.randint(10, 300)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    head = {"id": f"chatcmpl-{number:08}", "model": model, "created": 1730000000}
    content, reason = text(chance, BODY // 5 - 250), chance.choice(REASONS)
    if not streamed:
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return json.dumps(head | {"object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    deltas = [{"content": content[start : start + 40]} for start in range(0, len(content), 40)]
    chunks: list[dict[str, object]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": reason, "usage": usage})
    events = [json.dumps(head | {"object": "chat.completion.chunk", "choices": [chunk]}) for chunk in chunks]
    return "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()

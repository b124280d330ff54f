"""Calls recorded as the proxy records them: through the gate, the merger and the store."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from uuid import uuid4

from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State, Task
from moonpalace_addons.store.write import own_calls

SECOND = 1_000_000_000
STARTED_AT = 1_795_996_800_000_000
CHAT = "/v1/chat/completions"


def request(body: object, *, path: str = CHAT, headers: Sequence[str] = (), **changes: object) -> RequestRead:
    """Return the task of a request; `body` is JSON unless it is bytes."""
    given: dict[str, object] = {
        "uuid": str(uuid4()),
        "started_at": STARTED_AT,
        "method": "POST",
        "endpoint": "https://api.moonshot.cn",
        "path": path,
        "query": "",
        "headers": "".join(f"{line}\r\n" for line in headers),
        "content_type": "application/json",
        "content_encoding": None,
        "client_request_id": None,
        "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
    }
    return RequestRead(**(given | changes))  # type: ignore[arg-type]


def response(
    uuid: str, status: int, pieces: Sequence[tuple[int, bytes]], content_type: str | None, headers: Sequence[str] = ()
) -> ResponseStarted:
    """Return the task of an answer that comes in pieces, each with its time in nanoseconds."""
    named = "".join(f"{line}\r\n" for line in (f"Content-Type: {content_type}", *headers))
    return ResponseStarted(uuid, 10_000_000, status, named, content_type, None, deque(pieces))


def record(engine: Engine, tasks: Sequence[Task]) -> int:
    """Store a finished call; return its id."""
    with engine.connect() as connection:
        unit = own_calls.to_unit(connection, tasks, "", Pricing())
    unit.columns["purpose"] = None
    with writing(engine) as connection:
        return own_calls.store(connection, unit)


def call(
    engine: Engine,
    body: object,
    status: int | None = 200,
    answer: object = None,
    *,
    content_type: str = "application/json",
    path: str = CHAT,
    headers: Sequence[str] = (),
    answer_headers: Sequence[str] = (),
    at: int = SECOND,
    pieces: Sequence[tuple[int, bytes]] = (),
    asked: Mapping[str, object] | None = None,
    ended: Mapping[str, object] | None = None,
) -> int:
    """Store a call with this answer, or without one, and return its id.

    `asked` and `ended` are members of its first and its last task.
    """
    read = request(body, path=path, headers=headers, **(asked or {}))
    tasks: list[Task] = [read]
    if status is not None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        tasks.append(response(read.uuid, status, pieces or [(at // 2, data)], content_type, answer_headers))
    tasks.append(ExchangeEnded(read.uuid, at, **{"state": State.COMPLETED, **(ended or {})}))  # type: ignore[arg-type]
    return record(engine, tasks)


def chat(*messages: object, **members: object) -> dict[str, object]:
    """Return a chat request."""
    turns = messages or ({"role": "user", "content": "hello"},)
    return {"model": "kimi-k3", "messages": list(turns), **members}


def refusal(kind: str, message: str) -> dict[str, object]:
    """Return an error as the API answers it."""
    return {"error": {"type": kind, "message": message}}

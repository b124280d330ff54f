"""Which calls a rule reports together, and which reports share the rest of its limit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.fields import model
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import parts
from moonpalace_addons.store.records.deliveries import OTHERS
from moonpalace_addons.store.records.values import microseconds
from moonpalace_addons.wire.faces.table import face_of_path
from moonpalace_addons.wire.json_value import mapping, parse_bounded

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.wire.faces.turns import Part


class Counted(Protocol):
    """An item that covers a number of calls."""

    @property
    def calls(self) -> int:
        """Return the number."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that a rule has matched; `at` is when it began, in microseconds since the epoch."""

    id: int
    at: int
    likeness: str


def load(engine: Engine, ids: Sequence[int]) -> list[Seen]:
    """Return the relevant data of these calls, in their order; deleted ones are left out."""
    calls_seen = []
    with engine.connect() as connection:
        for exchange in selection.in_order(engine, ids):
            request = small_request(connection, exchange)
            calls_seen.append(Seen(exchange.id, microseconds(exchange.started_at), likeness(exchange, request)))
    return calls_seen


def small_request(connection: Connection, exchange: Exchange) -> bytes | None:
    """Return the request of a call; None if it is damaged, which must not stop the rule, or large."""
    if exchange.request_bytes > MAX_SIZE:
        return b"x" * (MAX_SIZE + 1)
    try:
        return parts.joined(connection, exchange.id, "request")
    except StoreError:
        return None


def alike(calls: Sequence[Seen], known: set[str], limit: int) -> dict[str, list[Seen]]:
    """Return the calls by their likeness; those of a group in their order.

    Calls whose likeness is neither in `known` nor one of the first `limit` form one group, `OTHERS`.
    """
    groups, apart = dict[str, list[Seen]](), set(known)
    for call in calls:
        if len(apart) < limit:
            apart.add(call.likeness)
        groups.setdefault(call.likeness if call.likeness in apart else OTHERS, []).append(call)
    return groups


def shares[T: Counted](waiting: Sequence[T], room: int) -> list[list[T]]:
    """Divide waiting reports into at most `room` messages: single ones while there is room, the rest in one.

    Reports of the most calls come first.
    """
    if room <= 0:
        return []
    largest = sorted(waiting, key=lambda each: -each.calls)
    if len(largest) <= room:
        return [[each] for each in largest]
    return [*([each] for each in largest[: room - 1]), largest[room - 1 :]]


MESSAGES = ("messages", "input")
"""Members of requests that contain messages."""
MAX_SIZE = 1_000_000
"""Maximum bytes of a request whose messages are read."""


def likeness(exchange: Exchange, request: bytes | None) -> str:
    """Return a hash that is equal for calls with the same kind of error, model, and shape of the last message."""
    error = [exchange.state.value, exchange.status_code, exchange.error_kind, exchange.finish_reason]
    same = [exchange.path, model(exchange), error, last_shape(exchange.path, request or b"")]
    return hashlib.blake2b(json.dumps(same).encode(), digest_size=16).hexdigest()


def last_shape(path: str, request: bytes) -> list[object]:
    """Return the shape of a request's last message: its role, the kinds of its parts, their lengths in digits."""
    if len(request) > MAX_SIZE:
        return ["large"]
    turns = face_of_path(path).request_turns(only_last(parse_bounded(request)))
    return [turns[-1].role, *(word for part in turns[-1].parts for word in part_shape(part))] if turns else []


def only_last(request: object) -> object:
    """Return a request with only the last of its messages: an agent's has hundreds, and reading all takes long."""
    members = mapping(request)
    last = {name: value[-1:] for name in MESSAGES if isinstance(value := members.get(name), list)}
    return {**members, **last} if last else request


def part_shape(part: Part) -> Iterator[str]:
    """Yield the properties that distinguish parts of different shapes."""
    yield part.kind
    yield part.label.partition(" ")[0] if part.kind == "call" else str(mapping(part.content).get("type", ""))
    yield str(len(str(len(part.content)))) if isinstance(part.content, str) else ""

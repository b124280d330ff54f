"""The likeness of calls that one report can cover."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import model
from moonpalace_addons.wire.faces.table import face_of_path
from moonpalace_addons.wire.json_value import mapping, parse_bounded

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.wire.faces.turns import Part

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

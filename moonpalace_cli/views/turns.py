"""Find the calls before and after a call in its conversation.

A client that continues a conversation sends all of it again, or names the answer that it continues
(`previous_response_id`). So two calls belong to one conversation if their requests begin with the same messages, up to
the first one that is not an instruction. If no such call is near, the client's session takes the place of the
conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

from moonpalace_addons.store.read.conversations import Candidate, candidates
from moonpalace_addons.store.records import contents
from moonpalace_addons.wire.chat.prefix import INSTRUCTION_ROLES
from moonpalace_addons.wire.json_value import mapping, parse, text_in
from moonpalace_cli.views.context_caches.prefix_comparison import role_of
from moonpalace_cli.views.context_caches.prompts import Request, read_request

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange

MAX_CALLS = 20
"""Maximum calls on each side whose requests are read."""
MAX_BYTES = 4_000_000
"""Maximum bytes of requests that are read on each side."""
POINTER = "previous_response_id"


@dataclass(frozen=True, slots=True)
class Turns:
    """The ids of the calls before and after a call in its conversation or its session; None if unknown."""

    previous: int | None
    next: int | None
    of: Literal["conversation", "session"] = "conversation"


NONE = Turns(None, None)


@dataclass(frozen=True, slots=True)
class Thread:
    """The identity of a conversation: the hash of a request's beginning, and the answer that it continues."""

    beginning: bytes | None
    continues: str | None


def turns(engine: Engine, call: Exchange) -> Turns:
    """Return the neighbours of a call in its conversation."""
    own = thread(engine, call.id, call.path)
    earlier, later = (candidates(engine, call, later=later, limit=MAX_CALLS) for later in (False, True))
    neighbours = Turns(nearest(engine, call, own, earlier), nearest(engine, call, own, later, later=True))
    if neighbours == NONE and call.session is not None and (earlier or later):
        previous, following = (some[0].id if some else None for some in (earlier, later))
        return Turns(previous, following, "session")
    return neighbours


def nearest(
    engine: Engine, call: Exchange, own: Thread, others: Sequence[Candidate], *, later: bool = False
) -> int | None:
    """Return the first of these calls that belongs to the conversation."""
    room = MAX_BYTES
    for other in others:
        room -= other.request_bytes
        if room < 0:
            break
        theirs = thread(engine, other.id, other.path)
        answer, pointer = (call.chatcmpl_id, theirs.continues) if later else (other.chatcmpl_id, own.continues)
        if (pointer is not None and pointer == answer) or (own.beginning and own.beginning == theirs.beginning):
            return other.id
    return None


# Requests never change.
@lru_cache(maxsize=4096)
def thread(engine: Engine, row_id: int, path: str) -> Thread:
    """Return the identity of a call's conversation."""
    body = contents.request_body(engine, row_id) or b""
    request = read_request(body, path)
    pointer = text_in(mapping(parse(body)), POINTER) if POINTER.encode() in body else None
    return Thread(None if request is None else beginning(request), pointer)


def beginning(request: Request) -> bytes:
    """Return the hash of the messages of a request up to the first one that is not an instruction."""
    digest = blake2b(digest_size=16)
    for message in request.messages:
        digest.update(message)
        if role_of(message) not in INSTRUCTION_ROLES:
            break
    return digest.digest()

"""Tell which messages of a WebSocket begin a call, and which ones belong to it.

A connection serves calls one after another. With `stream_id` several queues of calls share it: an event belongs to the
oldest unfinished call of its queue. Most messages are not parsed: they belong to the only unfinished call.
"""

import re
from collections import deque

import msgspec

from moonpalace_addons.wire.json_value import mapping, parse, text_in

_ASKS = re.compile(rb'"response\.create"')
_TURNING = re.compile(rb'"(?:error|stream_id|response\.(?:completed|incomplete|failed|done|created))"')
"""Text in messages that end a call or name a queue."""
_KIND = re.compile(rb'"type"\s*:\s*"(response\.[a-z_.]+|error)"')
_LANE = re.compile(rb'"stream_id"\s*:\s*"([^"\\]*)"')
"""Both members as found in the text of a cut message; within a JSON string the quotes would be escaped."""
MAX_SEARCHED = 100_000
"""Maximum bytes of a cut message that are searched for them, and of an invalid one that are parsed slowly."""
ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
DONE = "response.done"
"""Some servers send it after the last event of a response, others in place of it."""


class _Head(msgspec.Struct):
    """The members of a message that are needed to assign it; msgspec skips all others."""

    type: str = ""
    stream_id: str | None = None


_decode = msgspec.json.Decoder(_Head).decode
_NO_HEAD = _Head()


class Lanes:
    """The unfinished calls of one connection, numbered from 1."""

    def __init__(self) -> None:
        self._open: dict[str, deque[int]] = {}
        self._begun: set[int] = set()
        self._count = 0

    def receive_request(self, message: bytes, *, is_cut: bool = False) -> int | None:
        """Return the number of the call that a client's message begins, or None.

        `is_cut` means, here and below, that only the beginning of the message is known.
        """
        head = _head(message, is_cut=is_cut) if _ASKS.search(message) else _NO_HEAD
        if head.type != "response.create":
            return None
        self._count += 1
        self._open.setdefault(head.stream_id or "", deque()).append(self._count)
        return self._count

    def receive_event(self, message: bytes, *, is_cut: bool = False) -> tuple[int | None, bool]:
        """Return the number of the call that a message of the API belongs to, or None, and whether it ends the call."""
        if _TURNING.search(message) is None:
            number = self._only()
            if number is not None:
                self._begun.add(number)
            return number, False
        head = _head(message, is_cut=is_cut)
        kind, lane = head.type, head.stream_id
        queue = self._open.get(lane or "")
        if queue is None and lane is None and len(self._open) == 1:
            lane, queue = next(iter(self._open.items()))
        if not queue or (kind == DONE and queue[0] not in self._begun):  # it belongs to a call that is over
            return None, False
        number, is_over = queue[0], kind in ENDS or kind == DONE
        self._begun.add(number)
        if is_over:
            self._begun.discard(number)
            queue.popleft()
            if not queue:
                del self._open[lane or ""]
        return number, is_over

    def _only(self) -> int | None:
        """Return the call that a message without a queue belongs to."""
        queue = self._open.get("") or (next(iter(self._open.values())) if len(self._open) == 1 else None)
        return queue[0] if queue else None


def _head(message: bytes, *, is_cut: bool) -> _Head:
    if not is_cut:
        try:
            return _decode(message)
        except (ValueError, RecursionError):
            if len(message) <= MAX_SEARCHED:  # half a surrogate pair, NaN, or a member of the wrong type
                fields = mapping(parse(message))
                return _Head(text_in(fields, "type") or "", text_in(fields, "stream_id"))
    kind, lane = _KIND.search(message, 0, MAX_SEARCHED), _LANE.search(message, 0, MAX_SEARCHED)
    return _Head(kind[1].decode() if kind else "", lane[1].decode("utf-8", "replace") if lane else None)

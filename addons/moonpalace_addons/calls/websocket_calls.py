"""Keep the messages of a WebSocket: those of a call within it as a call of its own, all others with the connection.

A message of the client that asks for an answer (`response.create` of /v1/responses) begins a call with a row of its
own, whose request is the message and whose answer are the messages that belong to it, as events of a stream.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.ending import ended
from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.calls.kept_answer import KeptAnswer, SharedRoom
from moonpalace_addons.store.tasks import RequestRead, Task
from moonpalace_addons.wire.faces.lanes import Lanes
from moonpalace_addons.wire.forms import EVENT_STREAM
from moonpalace_addons.wire.websocket_events import CLIENT, SERVER, as_event

SHORTENED = "only the beginning of the message with the request is kept (setting max-body): {} bytes are not"

MAX_OPEN = 1000
"""Calls of a connection that are under way at once; what a client asks for beyond that begins no call."""
TOO_MANY = f"more than {MAX_OPEN} calls were under way in the WebSocket at once; those after them have no rows"


@dataclass(slots=True)
class WebSocketCalls:
    """The calls within one WebSocket; `call` is that of the connection, `put` passes a task to the writer.

    `limit` is the number of bytes that are kept of each call.
    """

    call: Call
    put: Callable[[Task], None]
    room: SharedRoom
    limit: int
    count: int = 0
    is_full: bool = False
    """Whether there were too many calls at once, after which answers of later ones could not be told apart."""
    _lanes: Lanes | None = field(init=False)
    _open: dict[int, Call] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the rules of the connection's face, and have its messages stored as events."""
        self._lanes = self.call.face.make_lanes()
        if self.call.response is not None:
            self.call.response = self.call.response.labelled(EVENT_STREAM)

    def take(self, message: bytes, *, from_client: bool, is_text: bool, left_out: int = 0) -> None:
        """Keep a message, of which `left_out` bytes are missing at its end."""
        if self._lanes is not None and is_text:
            kept = self._ask(message, left_out) if from_client else self._answer(message, left_out)
            if kept:
                return
        name = CLIENT if from_client else SERVER
        _keep(self.call, as_event(message, name, is_text=is_text), left_out)

    def _ask(self, message: bytes, left_out: int) -> bool:
        """Begin a call; return whether the message does."""
        request = self.call.find(RequestRead)
        if self._lanes is None or request is None or self.is_full:
            return False
        number = self._lanes.receive_request(message, is_cut=left_out > 0)
        if number is None or self._has_too_many():
            return False
        connection = self.call
        answer = KeptAnswer(self.limit, self.room)
        call = Call(connection.flow, time.monotonic_ns(), connection.fields, connection.query, connection.path, answer)
        call.upstream_key = connection.upstream_key
        if left_out:
            call.warnings.append(SHORTENED.format(left_out))
        self._open[number] = call
        self.count += 1
        started_at = time.time_ns() // 1000
        self.put(request.within(call.uuid, started_at, message))
        return True

    def _has_too_many(self) -> bool:
        if len(self._open) >= MAX_OPEN:
            self.is_full = True
            self.call.warnings.append(TOO_MANY)
        return self.is_full

    def _answer(self, message: bytes, left_out: int) -> bool:
        """Add a message to the call that it belongs to; return whether there is one."""
        if self._lanes is None:
            return False
        number, is_over = self._lanes.receive_event(message, is_cut=left_out > 0)
        call = self._open.get(number) if number is not None else None
        if call is None or number is None:
            return False
        if call.response is None:
            self._announce(call)
        _keep(call, as_event(message), left_out)
        if is_over:
            self._end(self._open.pop(number))
        return True

    def _announce(self, call: Call) -> None:
        """Tell the writer that the answer of a call has begun, under the head of the connection's."""
        accepted = self.call.response
        if accepted is None:
            return
        call.announced = True
        call.response = accepted.within(call.uuid, call.now(), call.answer.chunks)
        self.put(call.response)

    def _end(self, call: Call, failure: Failure | None = None, message: str | None = None) -> None:
        call.answer.give_back()
        self.put(ended(call, failure, message))

    def end(self, failure: Failure, message: str) -> None:
        """End the calls that are under way with the connection."""
        while self._open:
            _, call = self._open.popitem()
            self._end(call, failure, message)


def _keep(call: Call, event: bytes, left_out: int) -> None:
    call.answer.keep(call.now(), event)
    call.answer.dropped += left_out

"""The calls in progress: state that all addons share, and state of single addons."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.calls.kept_answer import KeptAnswer, SharedRoom
from moonpalace_addons.calls.ordered_uuid import ordered_uuid
from moonpalace_addons.store.tasks import ResponseStarted
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.table import face_of_path
from moonpalace_addons.wire.header_fields import Fields, Named, by_name


@dataclass(slots=True)
class Call:
    """One call in progress: the state that all addons share.

    `started` and `touched` are in nanoseconds of the monotonic clock, `overhead` in nanoseconds. `uuid` is of
    the call alone (see `flow_control.identifier`).

    `fields` of the head, `method`, `path` and `query` are as the client sent them; `named` are the fields by name,
    `face` is the one that the path names. `body` is the client's body if an addon has changed it, `upstream_key` the
    key that replaces the client's. `changes` and `warnings` are stored.

    `response` is the head of the answer as stored. `streaming` tells whether the answer is being sent to the client,
    `touched` when upstream last sent data or the client last read pending data, of which there are `unsent` bytes.
    `given_up` is why the proxy ended the call. `request_read` and `announced` tell whether the writer has the request
    and the head of the answer.

    State that only some calls need belongs to an addon: `find`, `add` and `state` keep one object of each type.
    """

    flow: HTTPFlow
    started: int
    fields: Fields = field(repr=False)
    query: str
    path: str
    answer: KeptAnswer = field(default_factory=KeptAnswer, repr=False)
    uuid: str = field(default_factory=ordered_uuid)
    upstream_key: str | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    overhead: int = 0
    request_read: bool = False
    response: ResponseStarted | None = None
    announced: bool = False
    streaming: bool = False
    touched: int | None = None
    unsent: int = 0
    given_up: tuple[Failure, str] | None = None
    method: str = field(init=False)
    face: Face = field(init=False, repr=False)
    named: Named = field(default_factory=dict, repr=False, kw_only=True)
    _states: dict[type[Any], Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the headers by name unless they are, and find the face that the path names."""
        self.method = self.flow.request.method
        self.face = face_of_path(self.path)
        self.named = self.named or by_name(self.fields)

    def find[State](self, kind: type[State]) -> State | None:
        """Return the state of this type, or None if no addon added one."""
        return self._states.get(kind)

    def add[State](self, state: State) -> State:
        """Add a state, replacing one of the same type, and return it."""
        self._states[type(state)] = state
        return state

    def state[State](self, kind: type[State]) -> State:
        """Return the state of this type, creating it if there is none."""
        found: State | None = self._states.get(kind)
        return self.add(kind()) if found is None else found

    def drop_states(self) -> None:
        """Forget the states of all addons at the end of the call, as some refer to it."""
        self._states.clear()

    @property
    def api_key(self) -> bytes | None:
        """Return the API key sent upstream: the configured one or the client's."""
        return self.upstream_key.encode() if self.upstream_key else client_key(self.named)

    def now(self) -> int:
        """Return the nanoseconds since the request began."""
        return time.monotonic_ns() - self.started


def client_key(named: Named) -> bytes | None:
    """Return the API key in the client's Authorization or x-api-key header, or None."""
    scheme, _, token = named.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        return token.strip()
    return named.get(b"x-api-key", b"").strip() or None


class Calls:
    """The calls in progress, by flow; flows that are not captured have none."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self.room = SharedRoom()

    def begin(self, call: Call) -> None:
        """Add a call."""
        self._calls[call.flow.id] = call

    def get(self, flow: HTTPFlow) -> Call | None:
        """Return the call of a flow, or None if it is not captured or is over."""
        return self._calls.get(flow.id)

    def end(self, flow: HTTPFlow) -> Call | None:
        """Remove and return the call of a flow, or None if it was already removed."""
        call = self._calls.pop(flow.id, None)
        if call is not None:
            call.answer.give_back()
        return call

    def __iter__(self) -> Iterator[Call]:
        """Iterate over a copy, as the loop may end calls."""
        return iter(list(self._calls.values()))

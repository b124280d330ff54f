"""Calls in progress."""

from dataclasses import dataclass

import pytest
from mitmproxy.test import tflow

from moonpalace_addons.calls.call import Call, Calls


def a_call() -> Call:
    """Return a call on a new flow."""
    return Call(tflow.tflow(), 0, ((b"Authorization", b"Bearer sk-1"),), "q=1", "/v1/models")


def test_call_ends_once() -> None:
    """A call is found until it ends, and can only end once."""
    calls, call = Calls(), a_call()
    assert calls.get(call.flow) is None
    calls.begin(call)
    assert calls.get(call.flow) is call
    assert calls.end(call.flow) is call
    assert calls.end(call.flow) is None
    assert calls.get(call.flow) is None


def test_calls_may_end_while_they_are_iterated() -> None:
    """Iteration uses a copy, so that calls can be ended during it."""
    calls, begun = Calls(), [a_call() for _ in range(3)]
    for call in begun:
        calls.begin(call)
    for call in calls:
        calls.end(call.flow)
    assert list(calls) == []


def test_calls_share_nothing() -> None:
    """Two calls do not share chunks, changes or warnings."""
    first, second = a_call(), a_call()
    first.answer.chunks.append((0, b"x"))
    first.changes.append("x")
    first.warnings.append("x")
    assert (list(second.answer.chunks), second.changes, second.warnings) == ([], [], [])


def test_time_counts_from_the_start() -> None:
    """`now` is the time since the request began, and never runs backwards."""
    call = a_call()
    first = call.now()
    assert 0 < first <= call.now()


def test_representation_holds_no_secret() -> None:
    """The repr of a call, which tracebacks and logs may show, has no headers, no key and no bytes of the answer."""
    call = a_call()
    call.upstream_key = "sk-2"
    call.answer.chunks.append((0, b"sk-3"))
    assert "sk-" not in repr(call)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(b"Authorization", b"Bearer sk-1")], b"sk-1"),
        ([(b"AUTHORIZATION", b"bearer  sk-1 ")], b"sk-1"),
        ([(b"x-api-key", b" sk-2 ")], b"sk-2"),
        ([(b"Authorization", b"Bearer sk-1"), (b"X-Api-Key", b"sk-2")], b"sk-1"),
        ([(b"Authorization", b"Basic dTpw"), (b"X-Api-Key", b"sk-2")], b"sk-2"),
        ([(b"Authorization", b"Bearer ")], None),
        ([(b"Authorization", b"sk-1")], None),
        ([], None),
    ],
)
def test_key_of_the_client(fields: list[tuple[bytes, bytes]], expected: bytes | None) -> None:
    """The client's key is in the Authorization of the OpenAI face, or the X-Api-Key of the Anthropic one."""
    assert Call(tflow.tflow(), 0, fields, "", "/").api_key == expected


def test_the_configured_key_comes_first() -> None:
    """If the proxy sends its own key, that is the call's key."""
    call = a_call()
    call.upstream_key = "sk-2"
    assert call.api_key == b"sk-2"


@dataclass(slots=True)
class First:
    """The state of one addon."""

    number: int = 0


@dataclass(slots=True)
class Second(First):
    """The state of another addon."""


def test_states_are_found_by_type() -> None:
    """A call has one state of each type: created on first access, and replaced when another is added."""
    call, other = a_call(), a_call()
    assert call.find(First) is None
    first = call.state(First)
    first.number = 1
    assert call.state(First) is call.find(First) is first
    assert (call.find(Second), other.find(First)) == (None, None)
    second = call.add(Second(2))
    assert (call.find(First), call.find(Second)) == (first, second)
    assert call.add(First(3)) is call.find(First)

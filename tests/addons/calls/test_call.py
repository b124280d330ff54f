"""The calls under way."""

from mitmproxy.test import tflow

from moonpalace_addons.calls.call import Call, Calls


def a_call() -> Call:
    """Return a call on a new flow."""
    return Call(tflow.tflow(), 0, [("Authorization", "Bearer sk-1")], "q=1", "/v1/models")


def test_call_ends_once() -> None:
    """A call is found until it is ended, and can be ended once only."""
    calls, call = Calls(), a_call()
    assert calls.get(call.flow) is None
    calls.begin(call)
    assert calls.get(call.flow) is call
    assert calls.end(call.flow) is call
    assert calls.end(call.flow) is None
    assert calls.get(call.flow) is None


def test_calls_may_end_while_they_are_iterated() -> None:
    """Iterating is over a copy, so that whoever looks at the calls may end them."""
    calls, begun = Calls(), [a_call() for _ in range(3)]
    for call in begun:
        calls.begin(call)
    for call in calls:
        calls.end(call.flow)
    assert list(calls) == []


def test_calls_share_nothing() -> None:
    """Two calls have chunks, changes and warnings of their own."""
    first, second = a_call(), a_call()
    first.chunks.append((0, b"x"))
    first.changes.append("x")
    first.warnings.append("x")
    assert (list(second.chunks), second.changes, second.warnings) == ([], [], [])


def test_time_counts_from_the_start() -> None:
    """`now` is the time since the request began, and never runs backwards."""
    call = a_call()
    first = call.now()
    assert 0 < first <= call.now()


def test_representation_holds_no_secret() -> None:
    """What a traceback or a log may show of a call has neither headers nor the key nor bytes of the answer."""
    call = a_call()
    call.upstream_key = "sk-2"
    call.chunks.append((0, b"sk-3"))
    assert "sk-" not in repr(call)

"""The calls within a WebSocket, without a socket."""

from collections import deque

from mitmproxy.test import tflow

from moonpalace_addons.calls import websocket_calls
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.kept_answer import SharedRoom
from moonpalace_addons.calls.websocket_calls import WebSocketCalls
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, Task

REQUEST = RequestRead("c", 0, "GET", "https://a", "/v1/responses", "", "", None, None, None, b"")


def connection() -> Call:
    """Return the call of a connection that the API has accepted."""
    call = Call(tflow.tflow(), 0, [], "", "/v1/responses")
    call.add(REQUEST)
    call.response = ResponseStarted("c", 0, 101, "", None, None, deque())
    return call


def test_a_request_beyond_the_limit() -> None:
    """It is a call whose row says how much of the request is not kept; it gets only its own answer."""
    tasks = list[Task]()
    calls = WebSocketCalls(connection(), tasks.append, SharedRoom(), 1000)
    long = b'{"type":"response.create","input":"aaaa'
    calls.take(long, from_client=True, is_text=True, left_out=5000)
    calls.take(b'{"type":"response.create"}', from_client=True, is_text=True)
    for name in (b"1", b"2"):
        for kind in (b"created", b"completed"):
            message = b'{"type":"response.%s","id":"%s"}' % (kind, name)
            calls.take(message, from_client=False, is_text=True)
    first, second = (task for task in tasks if isinstance(task, RequestRead))
    ends = {task.uuid: task for task in tasks if isinstance(task, ExchangeEnded)}
    answers = {
        task.uuid: b"".join(data for _, data in task.chunks) for task in tasks if isinstance(task, ResponseStarted)
    }
    assert (first.body, second.body) == (long, b'{"type":"response.create"}')
    assert "5000 bytes are not" in ends[first.uuid].warnings[0]
    assert ends[second.uuid].warnings == ()
    assert [answers[each.uuid].count(b'"id":"%s"' % name) for each, name in ((first, b"1"), (second, b"2"))] == [2, 2]


def test_calls_without_end() -> None:
    """A client that sends requests without waiting for answers does not fill the memory; the row says so once."""
    tasks = list[Task]()
    connected = connection()
    calls = WebSocketCalls(connected, tasks.append, SharedRoom(), 1_000_000)
    for _ in range(websocket_calls.MAX_OPEN):
        calls.take(b'{"type":"response.create"}', from_client=True, is_text=True)
    calls.take(b'{"type":"something else"}', from_client=True, is_text=True)
    assert connected.warnings == []
    for _ in range(100):
        calls.take(b'{"type":"response.create"}', from_client=True, is_text=True)
    assert len(tasks) == calls.count == websocket_calls.MAX_OPEN
    assert connected.warnings == [websocket_calls.TOO_MANY]
    assert b"".join(data for _, data in connected.answer.chunks).count(b"response.create") == 100
    calls.take(b'{"type":"response.completed"}', from_client=False, is_text=True)
    calls.take(b'{"type":"response.create"}', from_client=True, is_text=True)
    assert calls.count == websocket_calls.MAX_OPEN

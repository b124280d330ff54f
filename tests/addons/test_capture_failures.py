"""Recording of calls that fail, time out or are ended by the proxy."""

import asyncio

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import Headers
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow, tutils

from moonpalace_addons.calls.adapter import Adapter
from moonpalace_addons.calls.failures import (
    BAD_REQUEST,
    CLIENT_LEFT,
    CLIENT_SILENT,
    PROXY_STOPPED,
    REPEATING,
    UPSTREAM_CUT,
    UPSTREAM_RESET,
    UPSTREAM_SILENT,
    Failure,
)
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from tests.addons.captured import BODY, REVERSE, Rig, a_flow, tap_of
from tests.hostile import HOSTILE_LINES, assert_quoted

pytestmark = pytest.mark.usefixtures("no_connection")

# ---- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [CLIENT_LEFT, UPSTREAM_CUT, UPSTREAM_RESET, UPSTREAM_SILENT])
@pytest.mark.parametrize("moment", ["before an answer", "in a stream", "in JSON"])
def test_failure_ends_the_row(rig: Rig, moment: str, failure: Failure) -> None:
    """Whenever a call fails, its row ends once, with the state, the kind and mitmproxy's message."""
    flow = a_flow()
    rig.ask(flow)
    if moment != "before an answer":
        rig.begin_answer(flow, "text/event-stream" if moment == "in a stream" else "application/json")
    flow.error, rig.causes.failure = Error("It failed."), failure
    rig.capture.error(flow)
    rig.capture.error(flow)
    rig.capture.response(flow)
    end = rig.end()
    assert (end.state, end.error_kind, end.error_message) == (failure.state, failure.kind, "It failed.")
    assert (end.response is not None) is (moment == "in JSON")


def test_partial_json_is_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The received part of a broken JSON answer is recorded with its end."""
    monkeypatch.setattr(flow_control, "partial_body", lambda _: b'{"id": "cha')
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json")
    flow.error = Error("peer closed connection")
    rig.capture.error(flow)
    end = rig.end()
    assert end.response is not None
    assert [data for _, data in end.response.chunks] == [b'{"id": "cha']


def test_partial_stream_is_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunks of a broken stream are exactly those received."""
    monkeypatch.setattr(flow_control, "partial_body", lambda _: b"not collected by mitmproxy")
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream")
    tap_of(flow)(b"data: 1\n\nda")
    flow.error = Error("peer closed connection")
    rig.capture.error(flow)
    started = rig.kept.tasks[1]
    assert isinstance(started, ResponseStarted)
    assert [data for _, data in started.chunks] == [b"data: 1\n\nda"]


@pytest.mark.parametrize("hook", ["response", "error"])
@pytest.mark.parametrize(
    ("failure", "state", "kind"),
    [(REPEATING, State.REPEAT_INTERRUPTED, "repeat"), (UPSTREAM_CUT, State.UPSTREAM_FAILED, "upstream_cut")],
)
@pytest.mark.parametrize("given_up", [None, (PROXY_STOPPED, "the proxy was stopped")])
def test_what_we_ended_ourselves(
    rig: Rig, hook: str, failure: Failure, state: State, kind: str, given_up: tuple[Failure, str] | None
) -> None:
    """An answer that the proxy cut or ended is recorded as such, whatever mitmproxy reports or else ends the call."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream")
    call = rig.capture.calls.get(flow)
    assert call is not None
    adapter = Adapter(flow, call, None, StreamEditor(Plan(CHAT_COMPLETIONS, coerce=False)), coerce=False)
    adapter.failure, call.given_up = (failure, "a loop"), given_up
    call.add(StreamEdit(adapter=adapter))
    call.warnings.append("a warning")
    flow.error = Error("Client disconnected.") if hook == "error" else None
    getattr(rig.capture, hook)(flow)
    end = rig.end()
    assert (end.state, end.error_kind, end.error_message) == (state, kind, "a loop")
    assert end.warnings == ("a warning",)


@pytest.mark.parametrize(("body", "expected"), [(None, BODY), (b'{"a": 1}', b'{"a": 1}'), (b"", b"")])
def test_request_that_was_changed_is_noted_as_it_came(rig: Rig, body: bytes | None, expected: bytes) -> None:
    """The row has the client's body and the list of changes, not the body sent upstream."""
    flow = a_flow()
    rig.capture.requestheaders(flow)
    call = rig.capture.calls.get(flow)
    assert call is not None
    call.body = body
    call.add(StreamEdit(coerce=body is not None))
    call.changes.append("body: changed")
    rig.capture.request(flow)
    (task,) = rig.requests()
    assert (task.body, task.coerced, task.changes) == (expected, body is not None, ("body: changed",))


@pytest.mark.parametrize("declared", [True, False])
def test_a_request_beyond_the_limit(declared: bool) -> None:
    """It is refused, at its header if that has the length, and its row has no body."""
    rig = Rig(max_body="1KB")
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse(REVERSE)
    flow.request.headers = Headers(content_length="1001") if declared else Headers(transfer_encoding="chunked")
    flow.request.raw_content = b"x" * 1001
    rig.capture.requestheaders(flow)
    assert (flow.response is not None) is declared
    rig.capture.request(flow)
    assert flow.response is not None
    assert flow.response.status_code == 413
    rig.capture.response(flow)
    assert [request.body for request in rig.requests()] == [b""]
    assert (rig.end().state, rig.end().error_kind) == (State.CLIENT_DISCONNECTED, "request_too_large")


def test_a_second_answer_that_came_whole(rig: Rig) -> None:
    """If an answer is replaced by another one, the row has the header of the second."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json")
    call = rig.capture.calls.get(flow)
    assert call is not None
    call.response = None
    flow.response = tutils.tresp(status_code=201, content=b"{}")
    rig.capture.response(flow)
    end = rig.end()
    assert end.response is not None
    assert (end.response.status_code, next(iter(end.response.chunks))[1]) == (201, b"{}")


def test_a_forced_answer_that_mitmproxy_collects(rig: Rig) -> None:
    """JSON instead of a stream, which mitmproxy's server forwards as a whole, is recorded when it is complete."""
    flow = a_flow()
    rig.ask(flow)
    call = rig.capture.calls.get(flow)
    assert call is not None
    call.add(StreamEdit(coerce=True))
    rig.begin_answer(flow, "application/json", b'{"error": {}}')
    rig.capture.response(flow)
    response = rig.end().response
    assert response is not None
    assert [data for _, data in response.chunks] == [b'{"error": {}}']


def test_an_answer_that_we_have_ended(rig: Rig) -> None:
    """On mitmproxy's server the client's connection is closed after it, which is not a failure."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream")
    flow.metadata[flow_control.ENDED_EARLY] = True
    flow.error = Error("Client disconnected.")
    rig.capture.error(flow)
    assert rig.end().state is State.COMPLETED


def test_a_call_that_was_given_up(rig: Rig) -> None:
    """A call that timed out is recorded so with its reason, whatever mitmproxy says about its connection."""
    flow = a_flow()
    rig.ask(flow)
    call = rig.capture.calls.get(flow)
    assert call is not None
    call.given_up = UPSTREAM_SILENT, "no byte from upstream for 2.5 s (setting idle-timeout)"
    flow.error = Error("Connection killed.")
    rig.capture.error(flow)
    end = rig.end()
    assert (end.state, end.error_kind) == (State.TIMED_OUT, "upstream_timeout")
    assert end.error_message == "no byte from upstream for 2.5 s (setting idle-timeout)"


@pytest.mark.parametrize("failure", [CLIENT_LEFT, BAD_REQUEST])
def test_failure_before_the_request_was_whole(rig: Rig, failure: Failure) -> None:
    """A failure during the client's request is the client's, in a row without a body."""
    flow = a_flow()
    rig.capture.requestheaders(flow)
    flow.error, rig.causes.failure = Error("It failed."), failure
    rig.capture.error(flow)
    assert rig.kinds() == [RequestRead, ExchangeEnded]
    assert rig.requests()[0].body == b""
    assert (rig.end().state, rig.end().error_kind) == (failure.state, failure.kind)


def test_a_request_that_was_given_up(rig: Rig) -> None:
    """A client that is silent within its request has timed out; upstream is not blamed."""
    flow = a_flow()
    rig.capture.requestheaders(flow)
    call = rig.capture.calls.get(flow)
    assert call is not None
    call.given_up = CLIENT_SILENT, "no byte of the request for 2 s"
    flow.error = Error("peer closed connection without sending complete message body")
    rig.capture.error(flow)
    end = rig.end()
    assert (end.state, end.error_kind) == (State.TIMED_OUT, "client_timeout")
    assert end.error_message == "no byte of the request for 2 s"


def test_stop_ends_what_is_under_way(rig: Rig) -> None:
    """When the proxy stops, every call ends as proxy_died, complete request or not; later hooks find none."""
    asked, half_asked = a_flow(), a_flow()
    rig.ask(asked)
    rig.begin_answer(asked, "text/event-stream")
    rig.capture.requestheaders(half_asked)
    rig.capture.done()
    ends = [task for task in rig.kept.tasks if isinstance(task, ExchangeEnded)]
    assert [end.uuid for end in ends] == [request.uuid for request in rig.requests()]
    assert {(end.state, end.error_kind) for end in ends} == {(State.PROXY_DIED, "proxy_stopped")}
    asked.error = Error("Client disconnected.")
    rig.capture.error(asked)
    rig.capture.done()
    assert len(rig.kept.tasks) == 5


def test_whole_cycle_through_mitmproxys_hooks(rig: Rig) -> None:
    """All hooks of a call, in mitmproxy's own order, give one request and one end."""
    flow = a_flow()
    flow.response = None
    with taddons.context(loadcore=False) as context:
        asyncio.run(context.cycle(rig.capture, flow))
        flow.response = tutils.tresp(headers=Headers([(b"Content-Type", b"application/json")]))
        rig.capture.responseheaders(flow)
        rig.capture.response(flow)
    assert rig.kinds() == [RequestRead, ExchangeEnded]


def test_a_flow_that_is_replayed_is_another_call(rig: Rig) -> None:
    """A flow that mitmweb replays keeps its id; each replay is a call with its own row."""
    flow = a_flow()
    for _ in range(2):
        rig.ask(flow)
        rig.capture.error(flow)
    first, second = rig.requests()
    assert first.uuid != second.uuid


def test_what_upstream_said_is_quoted_with_care(rig: Rig) -> None:
    """An error that quotes megabytes of upstream's bytes becomes one short line, without cookies or escapes."""
    flow = a_flow()
    rig.ask(flow)
    flow.error = Error(f"bad header: {HOSTILE_LINES}")
    rig.capture.error(flow)
    assert_quoted(rig.end().error_message)

"""What the capture notes of calls, and that it leaves them as they are."""

import asyncio
import time
from collections.abc import Callable

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import Headers, HTTPFlow, Response
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow, tutils

from moonpalace_addons.caching.call_state import ContextCacheState
from moonpalace_addons.calls.adapter import Adapter
from moonpalace_addons.calls.call import Calls
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
from moonpalace_addons.calls.opening import Hold
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.capture import Capture
from moonpalace_addons.causes import Causes
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm import flow_control, proxy_server
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State, Task
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS

KEY = "sk-clients-own-0123456789"
REVERSE = "reverse:https://api.moonshot.cn"
BODY = b'{"model": "kimi-k3",  "messages": []}'


class Kept(Recorder):
    """A recorder that keeps the tasks."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self.tasks: list[Task] = []

    def put(self, task: Task) -> None:
        """Keep a task."""
        self.tasks.append(task)


class Known(Causes):
    """The cause of all failures."""

    failure = CLIENT_LEFT

    def of(self, _: HTTPFlow) -> Failure:
        """Return it."""
        return self.failure


class Rig:
    """A capture with what it needs."""

    def __init__(self, **given: str) -> None:
        values: dict[str, object | None] = {name.replace("_", "-"): value for name, value in given.items()}
        configuration = Configuration(resolve(values, {"MOONPALACE_HOME": "/nowhere"}))
        self.kept = Kept(configuration)
        self.causes = Known()
        self.capture = Capture(configuration, self.kept, Calls(), self.causes.of)

    def ask(self, flow: HTTPFlow) -> None:
        """Send the request of a flow past the capture."""
        self.capture.requestheaders(flow)
        self.capture.request(flow)

    def begin_answer(
        self, flow: HTTPFlow, content_type: str | None, body: bytes | None = None, *, more: dict[str, str] | None = None
    ) -> None:
        """Send the head of an answer past the capture."""
        headers = ({} if content_type is None else {"Content-Type": content_type}) | (more or {})
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        flow.response = tutils.tresp(headers=Headers(fields), content=body)
        self.capture.responseheaders(flow)

    def requests(self) -> list[RequestRead]:
        """Return the requests that were noted."""
        return [task for task in self.kept.tasks if isinstance(task, RequestRead)]

    def end(self) -> ExchangeEnded:
        """Return the end that was noted; it must be the last task and the only end."""
        ends = [task for task in self.kept.tasks if isinstance(task, ExchangeEnded)]
        assert len(ends) == 1
        assert self.kept.tasks[-1] is ends[0]
        return ends[0]

    def kinds(self) -> list[type[Task]]:
        """Return the types of the tasks in their order."""
        return [type(task) for task in self.kept.tasks]


@pytest.fixture
def rig() -> Rig:
    """Give a capture with the default settings."""
    return Rig()


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no connection under these flows: nothing has been collected of their answers, nothing to be relayed."""
    monkeypatch.setattr(flow_control, "partial_body", lambda _: b"")
    for module in (flow_control, proxy_server):
        monkeypatch.setattr(module, "connection_of", lambda _: None)


def a_flow(
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
    body: bytes = BODY,
    mode: str = REVERSE,
) -> HTTPFlow:
    """Return a call that a client makes."""
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"} if headers is None else headers
    fields = Headers([(name.encode(), value.encode()) for name, value in given.items()])
    request = tutils.treq(method=b"POST", host="api.moonshot.cn", port=443, headers=fields, content=body)
    request.path = path
    request.timestamp_start = time.time()
    flow = tflow.tflow(req=request)
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    return flow


def tap_of(flow: HTTPFlow) -> Callable[[bytes], object]:
    """Return what mitmproxy calls with each chunk of a flow's answer."""
    assert flow.response is not None
    stream = flow.response.stream
    assert callable(stream)
    return stream


# ---- the request --------------------------------------------------------------------------------------------------


def test_row_begins_when_the_request_has_been_read(rig: Rig) -> None:
    """Headers alone note nothing; the whole request does, at once."""
    flow = a_flow()
    rig.capture.requestheaders(flow)
    assert rig.kept.tasks == []
    rig.capture.request(flow)
    assert rig.kinds() == [RequestRead]


def test_request_is_noted_as_the_client_sent_it(rig: Rig) -> None:
    """Method, path, raw query, type, encoding, the client's own id and the bytes are those of the client."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8", "content-encoding": "gzip", "X-Request-Id": "r-1"}
    flow = a_flow("/v1/files?a=%20b&a=?&c", headers, b"\x1f\x8b\x00")
    rig.ask(flow)
    (task,) = rig.requests()
    assert (task.method, task.endpoint) == ("POST", "https://api.moonshot.cn")
    assert (task.path, task.query) == ("/v1/files", "a=%20b&a=?&c")
    assert (task.content_type, task.content_encoding, task.client_request_id) == ("application/json", "gzip", "r-1")
    assert task.body == b"\x1f\x8b\x00"
    assert task.started_at == int(flow.request.timestamp_start * 1e6)
    assert task.headers == (
        "Content-Type: Application/JSON; charset=utf-8\r\ncontent-encoding: gzip\r\nX-Request-Id: r-1\r\n"
    )


def test_request_passes_untouched(rig: Rig) -> None:
    """Neither headers, nor path, nor body of the request change on the way."""
    flow = a_flow("/v1/chat/completions?x=1")
    before = flow.request.get_state()
    rig.ask(flow)
    assert flow.request.get_state() == before
    assert flow.response is None


def test_secrets_show_in_no_representation(rig: Rig) -> None:
    """What is noted holds the headers as they came, for the gate before the store, and shows none of them."""
    rig.ask(a_flow(f"/v1/{KEY}?key={KEY}", headers={"A": "1", "Authorization": f"Bearer {KEY}"}))
    (task,) = rig.requests()
    assert task.headers == f"A: 1\r\nAuthorization: Bearer {KEY}\r\n"
    assert KEY not in repr(task)


def test_own_secrets_are_named() -> None:
    """The configured key and token are to be masked in every call."""
    rig = Rig(key="sk-owners-key", token="token-of-the-team")
    rig.ask(a_flow())
    (task,) = rig.requests()
    assert set(task.secrets) == {b"token-of-the-team", b"sk-owners-key"}


def test_key_that_upstream_gets_is_the_one_told_apart() -> None:
    """The fingerprint is made from the key that was sent upstream, with what was changed on the way."""
    rig = Rig(key="sk-owners-key")
    flow = a_flow()
    rig.capture.requestheaders(flow)
    call = rig.capture.calls.get(flow)
    assert call is not None
    call.upstream_key = "sk-owners-key"
    call.changes.append("authorization: set to the configured key")
    flow.request.headers["Authorization"] = "Bearer sk-owners-key"
    rig.capture.request(flow)
    (task,) = rig.requests()
    assert task.api_key == b"sk-owners-key"
    assert task.changes == ("authorization: set to the configured key",)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("reverse:https://api.moonshot.ai", "https://api.moonshot.ai"),
        ("reverse:http://127.0.0.1:9990", "http://127.0.0.1:9990"),
        ("reverse:api.moonshot.ai", "https://api.moonshot.ai"),
        ("regular", "https://api.moonshot.cn"),
    ],
)
def test_endpoint_is_where_the_call_went(rig: Rig, mode: str, expected: str) -> None:
    """The endpoint noted is that of the reverse mode in use, in forward mode the configured one."""
    rig.ask(a_flow(mode=mode))
    assert [task.endpoint for task in rig.requests()] == [expected]


@pytest.mark.parametrize(
    ("host", "port", "captured"),
    [
        ("api.moonshot.cn", 443, True),
        ("API.Moonshot.CN", 443, True),
        ("api.moonshot.cn", 80, False),
        ("api.moonshot.ai", 443, False),
        ("evil.api.moonshot.cn", 443, False),
        ("example.com", 443, False),
    ],
)
def test_forward_proxy_captures_the_endpoint_only(rig: Rig, host: str, port: int, captured: bool) -> None:
    """In forward mode calls to hosts other than the endpoint are none of our business, from head to end."""
    flow = a_flow(mode="regular")
    flow.request.host, flow.request.port = host, port
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream")
    rig.capture.response(flow)
    assert bool(rig.kept.tasks) is captured
    assert flow.response is not None
    assert bool(flow.response.stream) is captured


def test_call_refused_at_its_head_is_not_captured(rig: Rig) -> None:
    """A call that another addon answers at once makes no row."""
    flow = a_flow()
    flow.response = Response.make(403)
    rig.ask(flow)
    rig.capture.responseheaders(flow)
    rig.capture.response(flow)
    assert rig.kept.tasks == []


def test_call_refused_after_its_head_is_not_captured(rig: Rig) -> None:
    """A call that another addon answers once it is read makes no row either, and is forgotten."""
    flow = a_flow()
    rig.capture.requestheaders(flow)
    flow.response = Response.make(403)
    rig.capture.request(flow)
    rig.capture.response(flow)
    assert rig.kept.tasks == []
    assert list(rig.capture.calls) == []


# ---- the answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "is_held"),
    [
        ("application/json", True),
        ("text/json", True),
        ("application/problem+json", True),
        ("application/x-ndjson", False),
        ("application/jsonl", False),
        ("text/event-stream", False),
        ("text/html", False),
        (None, False),
    ],
)
def test_what_may_be_held_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, content_type: str | None, is_held: bool
) -> None:
    """What is called one JSON document is looked at first; all else, sequences of JSON too, passes as it arrives."""
    monkeypatch.setattr(flow_control, "hold_answer", lambda *_: True)
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, content_type)
    assert flow.response is not None
    assert callable(flow.response.stream) is not is_held
    call = rig.capture.calls.get(flow)
    assert call is not None
    assert (call.find(Hold) is not None, call.announced, call.streaming) == (is_held, not is_held, not is_held)


def test_answer_that_turns_out_to_be_no_document(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noted of it is noted when that is known, with its first bytes; its end has no head again."""
    monkeypatch.setattr(flow_control, "hold_answer", lambda *_: True)
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json")
    call = rig.capture.calls.get(flow)
    assert call is not None
    opening = call.find(Hold)
    assert opening is not None
    assert rig.kinds() == [RequestRead]
    assert opening.take([b"data: {}\n\n"]) == [b"data: {}\n\n"]
    assert call.streaming
    tap_of(flow)(b"data: 2\n\n")
    started = rig.kept.tasks[1]
    assert isinstance(started, ResponseStarted)
    assert [data for _, data in started.chunks] == [b"data: {}\n\n", b"data: 2\n\n"]
    rig.capture.response(flow)
    assert rig.end().response is None


def test_stream_is_noted_while_it_runs(rig: Rig) -> None:
    """A stream notes its head when that comes and shares its chunks with the writer; its end has no head again."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream; charset=utf-8")
    assert rig.kinds() == [RequestRead, ResponseStarted]
    started = rig.kept.tasks[1]
    assert isinstance(started, ResponseStarted)
    assert (started.content_type, started.status_code) == ("text/event-stream", 200)
    tap = tap_of(flow)
    assert [tap(chunk) for chunk in (b"data: {}", b"\n\n", b"")] == [b"data: {}", b"\n\n", b""]
    assert [data for _, data in started.chunks] == [b"data: {}", b"\n\n"]
    rig.capture.response(flow)
    assert rig.kinds() == [RequestRead, ResponseStarted, ExchangeEnded]
    end = rig.end()
    assert (end.state, end.response, end.error_kind) == (State.COMPLETED, None, None)
    times = [0, started.at, *(at for at, _ in started.chunks), end.at]
    assert times == sorted(times)


def test_json_is_noted_once_it_is_whole(rig: Rig) -> None:
    """A JSON answer is noted with its end: head and body, as the bytes came."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json", b'{"id": 1}', more={"Content-Encoding": "identity"})
    assert flow.response is not None
    assert not flow.response.stream
    assert rig.kinds() == [RequestRead]
    rig.capture.response(flow)
    end = rig.end()
    assert end.response is not None
    assert [data for _, data in end.response.chunks] == [b'{"id": 1}']
    assert (end.response.content_encoding, end.state) == ("identity", State.COMPLETED)
    assert 0 < end.overhead < end.at


def test_an_answer_that_is_held(rig: Rig) -> None:
    """An answer that is no JSON is held all the same if another addon wants to see it whole; the outcome is noted."""
    flow = a_flow()
    rig.ask(flow)
    call = rig.capture.calls.get(flow)
    assert call is not None
    call.add(ContextCacheState(hold=True, outcome="refused"))
    rig.begin_answer(flow, "text/html", b"gone")
    assert flow.response is not None
    assert flow.response.stream is False
    rig.capture.response(flow)
    assert rig.end().cache_outcome == "refused"


def test_answer_passes_untouched(rig: Rig) -> None:
    """The bytes and the headers of a JSON answer, Set-Cookie too, reach the client as they came."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json", b"{}", more={"Set-Cookie": "session=0123456789"})
    assert flow.response is not None
    before = flow.response.get_state()
    rig.capture.response(flow)
    assert flow.response.get_state() == before


def test_headers_of_an_answer_are_noted(rig: Rig) -> None:
    """The headers of an answer are noted as they came, for the gate before the store."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream", more={"Set-Cookie": "session=0123456789", "Msh-Uid": "u"})
    started = rig.kept.tasks[1]
    assert isinstance(started, ResponseStarted)
    assert started.headers == "Content-Type: text/event-stream\r\nSet-Cookie: session=0123456789\r\nMsh-Uid: u\r\n"
    assert "0123456789" not in repr(started)


def test_streaming_that_the_user_chose_is_captured(rig: Rig) -> None:
    """JSON that mitmproxy streams because of its option stream_large_bodies is captured as it passes."""
    flow = a_flow()
    rig.ask(flow)
    flow.response = tutils.tresp(headers=Headers([(b"Content-Type", b"application/json")]), content=None)
    flow.response.stream = True
    rig.capture.responseheaders(flow)
    assert tap_of(flow)(b'{"a": 1}') == b'{"a": 1}'
    started = rig.kept.tasks[1]
    assert isinstance(started, ResponseStarted)
    assert [data for _, data in started.chunks] == [b'{"a": 1}']


def test_stored_stream_is_not_noted_twice(rig: Rig) -> None:
    """Where mitmweb keeps the streamed body on the flow, it is not noted a second time."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream")
    started = rig.kept.tasks[1]
    assert isinstance(started, ResponseStarted)
    started.chunks.clear()  # the writer has taken them
    assert flow.response is not None
    flow.response.content = b"data: {}\n\n"
    rig.capture.response(flow)
    assert list(started.chunks) == []


def test_empty_answer(rig: Rig) -> None:
    """An answer without a body, as to a HEAD, ends without chunks."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json", b"")
    rig.capture.response(flow)
    end = rig.end()
    assert end.response is not None
    assert list(end.response.chunks) == []


# ---- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [CLIENT_LEFT, UPSTREAM_CUT, UPSTREAM_RESET, UPSTREAM_SILENT])
@pytest.mark.parametrize("moment", ["before an answer", "in a stream", "in JSON"])
def test_failure_ends_the_row(rig: Rig, moment: str, failure: Failure) -> None:
    """Whenever a call fails, its row ends once, with the state, the kind and mitmproxy's words."""
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
    """What had come of a JSON answer that broke is noted with its end."""
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
    """The chunks of a stream that broke are those that came, no more."""
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
    """An answer that we cut or broke off ends as that, whatever mitmproxy then sees or else ends the call later."""
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
    """The row has the body of the client, with what was changed in it, not the one that goes upstream."""
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
    """It is refused, by its head if that says so, and its row has no body."""
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
    """An answer that was put in the place of another has its own head in the row."""
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
    """JSON in the place of a stream, which mitmproxy's server passes on whole, is kept once it is there."""
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
    """With mitmproxy's server its client's connection is closed behind it, which is no failure."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream")
    flow.metadata[flow_control.ENDED_EARLY] = True
    flow.error = Error("Client disconnected.")
    rig.capture.error(flow)
    assert rig.end().state is State.COMPLETED


def test_a_call_that_was_given_up(rig: Rig) -> None:
    """A call that was given up is timed out whatever mitmproxy says about its connection, with the reason given."""
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
    """A failure while the client sends its request is the client's, in a row without a body."""
    flow = a_flow()
    rig.capture.requestheaders(flow)
    flow.error, rig.causes.failure = Error("It failed."), failure
    rig.capture.error(flow)
    assert rig.kinds() == [RequestRead, ExchangeEnded]
    assert rig.requests()[0].body == b""
    assert (rig.end().state, rig.end().error_kind) == (failure.state, failure.kind)


def test_a_request_that_was_given_up(rig: Rig) -> None:
    """A client that fell silent within its request has timed out, and nobody says that upstream did."""
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
    """When the proxy stops, every call ends as proxy_died, be its request read or not, and later hooks find none."""
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
    """A flow that mitmweb sends again keeps its id; each time is a call with a row of its own."""
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
    flow.error = Error("bad header b'Set-Cookie: id=s3cret\\r\\n' \x1b[2J" + "x" * 8_000_000)
    rig.capture.error(flow)
    message = rig.kept.tasks[-1].error_message  # type: ignore[union-attr]
    assert message is not None
    assert len(message) < 600
    assert message.isprintable()
    assert "s3cret" not in message

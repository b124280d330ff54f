"""The tasks that the capture creates for calls, which it does not change."""

import pytest
from mitmproxy.http import Headers, Response
from mitmproxy.test import tutils

from moonpalace_addons.caching.call_state import ContextCacheState
from moonpalace_addons.calls.opening import Hold
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State
from tests.addons.captured import KEY, Rig, a_flow, tap_of

pytestmark = pytest.mark.usefixtures("no_connection")


# ---- the request --------------------------------------------------------------------------------------------------


def test_row_begins_when_the_request_has_been_read(rig: Rig) -> None:
    """Headers alone create no task; the complete request does immediately."""
    flow = a_flow()
    rig.capture.requestheaders(flow)
    assert rig.kept.tasks == []
    rig.capture.request(flow)
    assert rig.kinds() == [RequestRead]


def test_request_is_noted_as_the_client_sent_it(rig: Rig) -> None:
    """Method, path, raw query, type, encoding, the client's own id and the bytes are the client's."""
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


def test_what_later_addons_change_is_not_noted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has the client's method and the API's answer, whatever other addons make of them."""
    monkeypatch.setattr(flow_control, "partial_body", lambda _: b"{}")
    flow = a_flow()
    rig.capture.requestheaders(flow)
    flow.request.method = "PUT"
    rig.capture.request(flow)
    rig.begin_answer(flow, "application/json", b"edited")
    rig.capture.response(flow)
    (task,) = rig.requests()
    assert task.method == "POST"
    answer = rig.end().response
    assert answer is not None
    assert [data for _, data in answer.chunks] == [b"{}"]


def test_request_passes_untouched(rig: Rig) -> None:
    """Neither headers, nor path, nor body of the request change."""
    flow = a_flow("/v1/chat/completions?x=1")
    before = flow.request.get_state()
    rig.ask(flow)
    assert flow.request.get_state() == before
    assert flow.response is None


def test_secrets_show_in_no_representation(rig: Rig) -> None:
    """Tasks contain the original headers, for the gate before the store, but their repr has none."""
    rig.ask(a_flow(f"/v1/{KEY}?key={KEY}", headers={"A": "1", "Authorization": f"Bearer {KEY}"}))
    (task,) = rig.requests()
    assert task.headers == f"A: 1\r\nAuthorization: Bearer {KEY}\r\n"
    assert KEY not in repr(task)


def test_own_secrets_are_named() -> None:
    """The configured key and token are masked in every call."""
    rig = Rig(key="sk-owners-key", token="token-of-the-team")
    rig.ask(a_flow())
    (task,) = rig.requests()
    assert set(task.secrets) == {b"token-of-the-team", b"sk-owners-key"}


def test_key_that_upstream_gets_is_the_one_told_apart() -> None:
    """The fingerprint is made from the key that was sent upstream, including changes by addons."""
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
    """The stored endpoint is that of the reverse mode in use; in forward mode, the configured one."""
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
    """In forward mode calls to hosts other than the endpoint are ignored completely."""
    flow = a_flow(mode="regular")
    flow.request.host, flow.request.port = host, port
    rig.ask(flow)
    rig.begin_answer(flow, "text/event-stream")
    rig.capture.response(flow)
    assert bool(rig.kept.tasks) is captured
    assert flow.response is not None
    assert bool(flow.response.stream) is captured


def test_call_refused_at_its_head_is_not_captured(rig: Rig) -> None:
    """A call that another addon answers at its headers makes no row."""
    flow = a_flow()
    flow.response = Response.make(403)
    rig.ask(flow)
    rig.capture.responseheaders(flow)
    rig.capture.response(flow)
    assert rig.kept.tasks == []


def test_call_refused_after_its_head_is_not_captured(rig: Rig) -> None:
    """A call that another addon answers after its request makes no row either, and is forgotten."""
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
    """A single JSON document is checked first; anything else, including sequences of JSON, passes as it arrives."""
    monkeypatch.setattr(flow_control, "hold_answer", lambda *_: True)
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, content_type)
    assert flow.response is not None
    assert callable(flow.response.stream) is not is_held
    call = rig.capture.calls.get(flow)
    assert call is not None
    assert (call.find(Hold) is not None, call.announced, call.streaming) == (is_held, not is_held, not is_held)


@pytest.mark.parametrize(("settings", "is_held"), [({}, False), ({"detect_repeat": "true"}, True)])
def test_document_that_has_come_whole(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], is_held: bool) -> None:
    """A complete document is not held, because nothing can truncate it, unless it may be a stream to edit."""
    rig = Rig(**settings)
    monkeypatch.setattr(flow_control, "hold_answer", lambda *_: True)
    monkeypatch.setattr(flow_control, "has_come_whole", lambda _: True)
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json")
    call = rig.capture.calls.get(flow)
    assert call is not None
    assert (call.find(Hold) is not None, call.announced, call.streaming) == (is_held, False, False)
    assert flow.response is not None
    assert not flow.response.stream


def test_answer_that_turns_out_to_be_no_document(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task is created when its form is known, with its first bytes; its end does not repeat the header."""
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
    """The task for a stream is created at its header and shares its chunks; its end does not repeat the header."""
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
    """The task for a JSON answer is created at its end: header and body, with the bytes as received."""
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
    """An answer that is not JSON is held if another addon needs it complete; the outcome is recorded."""
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
    """The bytes and the headers of a JSON answer, including Set-Cookie, reach the client unchanged."""
    flow = a_flow()
    rig.ask(flow)
    rig.begin_answer(flow, "application/json", b"{}", more={"Set-Cookie": "session=0123456789"})
    assert flow.response is not None
    before = flow.response.get_state()
    rig.capture.response(flow)
    assert flow.response.get_state() == before


def test_headers_of_an_answer_are_noted(rig: Rig) -> None:
    """The original headers of an answer are recorded, for the gate before the store."""
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
    """If mitmweb keeps the streamed body in the flow, it is not recorded a second time."""
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

"""Which requests are changed, and how."""

import gzip
import json

import pytest
from mitmproxy.http import Headers, HTTPFlow, Response
from mitmproxy.test import tflow, tutils

from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.stream_edit import StreamEdit
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.force_stream import ForceStream
from moonpalace_addons.mitm.headers import has_plain_body
from moonpalace_addons.settings.values import resolve
from tests.tables import for_each

BODY = b'{"model":"kimi-k3",  "temperature":0.30, "messages":[]}'
OPTIONS = '"stream_options":{"include_usage":true}'
FORCED = BODY[:-1] + f',{OPTIONS},"stream":true}}'.encode()
STREAMING = b'{"stream":true}'
CHANGED = "body: stream and stream_options.include_usage set to true"
CHANGED_USAGE = "body: stream_options.include_usage set to true"


def a_flow(
    body: bytes | None = BODY, *, path: str = "/v1/chat/completions", method: str = "POST", **more: str
) -> HTTPFlow:
    """Return a chat completion; `more` are its headers besides Content-Type, with _ for -."""
    headers = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in more.items()}
    fields = Headers([(name.encode(), value.encode()) for name, value in headers.items() if value])
    request = tutils.treq(method=method.encode(), headers=fields, content=b"")
    request.raw_content, request.path = body, path
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    return tflow.tflow(req=request)


def force_stream_call(flow: HTTPFlow, **settings: str) -> Call:
    """Send a request through the addon; return its call."""
    values: dict[str, object | None] = {name.replace("_", "-"): value for name, value in settings.items()}
    calls = Calls()
    call = Call(flow, 0, [], "", flow.request.path.partition("?")[0])
    calls.begin(call)
    ForceStream(Configuration(resolve(values, {"MOONPALACE_HOME": "/nowhere"})), calls).request(flow)
    return call


@pytest.mark.parametrize(
    "flow",
    [
        a_flow(),
        a_flow(Content_Type=""),
        a_flow(Content_Type="Application/JSON; charset=utf-8"),
        a_flow(Content_Encoding="Identity"),
        a_flow(path="/v1/chat/completions?a=1"),
        a_flow(path="/proxied/v1/chat/completions"),
    ],
)
def test_request_becomes_one_for_a_stream(flow: HTTPFlow) -> None:
    """Two fields are added, every other byte is unchanged, the length is correct, and the call notes it."""
    call = force_stream_call(flow, force_stream="true")
    assert flow.request.raw_content == FORCED
    assert flow.request.headers["Content-Length"] == str(len(FORCED))
    assert (call.find(StreamEdit), call.body, call.changes) == (StreamEdit(coerce=True), BODY, [CHANGED])


def test_chunked_request_stays_chunked() -> None:
    """A request without a length does not get one."""
    flow = a_flow()
    del flow.request.headers["Content-Length"]
    flow.request.headers["Transfer-Encoding"] = "chunked"
    force_stream_call(flow, force_stream="true")
    assert flow.request.raw_content == FORCED
    assert "Content-Length" not in flow.request.headers


UNTOUCHED = {
    "already a stream": a_flow(STREAMING),
    "no JSON": a_flow(b"{"),
    "no object": a_flow(b"[]"),
    "empty": a_flow(b""),
    "not collected": a_flow(None),
    "gzip": a_flow(gzip.compress(BODY), Content_Encoding="gzip"),
    "another type": a_flow(Content_Type="text/plain"),
    "another path": a_flow(path="/v1/embeddings"),
    "a longer path": a_flow(path="/v1/chat/completions/1"),
    "a path in the query": a_flow(path="/v1/models?x=/chat/completions"),
    "HEAD": a_flow(method="HEAD"),
    "GET": a_flow(method="GET"),
}


@for_each("name", UNTOUCHED)
def test_what_is_left_alone(name: str) -> None:
    """Any request other than a plain chat completion without a stream is unchanged."""
    flow = UNTOUCHED[name]
    before = flow.request.get_state()
    call = force_stream_call(flow, force_stream="true")
    assert flow.request.get_state() == before
    assert (call.find(StreamEdit), call.body, call.changes) == (None, None, [])


@pytest.mark.parametrize(
    ("settings", "body", "expected"),
    [
        ({}, BODY, None),
        ({}, STREAMING, None),
        ({"stream_usage": "true"}, BODY, None),
        ({"stream_usage": "true"}, STREAMING, f'{{"stream":true,{OPTIONS}}}'.encode()),
        ({"stream_usage": "true"}, f'{{"stream":true,{OPTIONS}}}'.encode(), None),
        ({"stream_usage": "true", "force_stream": "true"}, STREAMING, f'{{"stream":true,{OPTIONS}}}'.encode()),
    ],
)
def test_usage_is_asked_for(settings: dict[str, str], body: bytes, expected: bytes | None) -> None:
    """With stream-usage a stream without usage asks for it, and its answer must hide it."""
    flow = a_flow(body)
    call = force_stream_call(flow, **settings)
    assert flow.request.raw_content == (expected or body)
    assert call.find(StreamEdit) == (StreamEdit(hide_usage=True) if expected else None)
    assert (call.body, call.changes) == ((body, [CHANGED_USAGE]) if expected else (None, []))


def test_both_settings_do_one_thing_to_one_request() -> None:
    """A request that is forced to stream has no usage to hide: the merged answer includes it."""
    call = force_stream_call(a_flow(), force_stream="true", stream_usage="true")
    assert (call.find(StreamEdit), call.changes) == (StreamEdit(coerce=True), [CHANGED])


def test_refused_call_is_left_alone() -> None:
    """A request that another addon has answered is not forwarded, and not changed."""
    flow = a_flow()
    flow.response = Response.make(403)
    assert force_stream_call(flow, force_stream="true").find(StreamEdit) is None
    assert flow.request.raw_content == BODY


def test_call_that_is_not_captured_is_left_alone() -> None:
    """In a forward proxy other hosts' calls are ignored."""
    flow = a_flow()
    settings = resolve({"force-stream": "true"}, {"MOONPALACE_HOME": "/nowhere"})
    ForceStream(Configuration(settings), Calls()).request(flow)
    assert flow.request.raw_content == BODY
    assert has_plain_body(flow)


def test_body_sent_upstream_is_the_same_json() -> None:
    """Parsed, the request differs from the client's only by the two fields."""
    flow = a_flow()
    force_stream_call(flow, force_stream="true")
    sent = json.loads(flow.request.raw_content or b"")
    assert sent == json.loads(BODY) | {"stream": True, "stream_options": {"include_usage": True}}

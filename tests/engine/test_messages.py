"""Messages created without mitmproxy's checks equal those of its constructors."""

import pickle
import time
import uuid

import pytest
from mitmproxy.http import Headers, HTTPFlow, Request, Response
from mitmproxy.test import tflow

from moonpalace_addons.engine.events import RequestHead, ResponseHead
from moonpalace_addons.engine.messages import make_flow, make_request, make_response
from moonpalace_addons.wire.header_fields import by_name

FIELDS = [(b"Host", b"x"), (b"a", b"1"), (b"A", b"\xff")]


def ordinary_request() -> Request:
    """Return a request from mitmproxy's constructor."""
    return Request(
        host="x.example",
        port=443,
        method=b"POST",
        scheme=b"https",
        authority=b"",
        path=b"/a?b",
        http_version=b"HTTP/1.1",
        headers=Headers(FIELDS),
        content=None,
        trailers=None,
        timestamp_start=1.5,
        timestamp_end=None,
    )


def ordinary_response() -> Response:
    """Return an answer from mitmproxy's constructor."""
    return Response(
        http_version=b"HTTP/1.1",
        status_code=201,
        reason=b"Made",
        headers=Headers(FIELDS),
        content=None,
        trailers=None,
        timestamp_start=1.5,
        timestamp_end=None,
    )


def quick_request() -> Request:
    """Return the same request from the engine."""
    head = RequestHead(b"POST", b"/a?b", b"HTTP/1.1", list(FIELDS), by_name(FIELDS), True, None, False, False)
    return make_request(head, b"/a?b", b"https", "x.example", 443, 1.5)


def quick_response() -> Response:
    """Return the same answer from the engine."""
    head = ResponseHead(201, b"Made", b"HTTP/1.1", list(FIELDS), by_name(FIELDS), None, False, False)
    return make_response(head, 1.5)


def state(message: Request | Response) -> object:
    """Return the saved state of a message."""
    found: object = message.get_state()  # type: ignore[no-untyped-call]
    return found


PAIRS = [(quick_request(), ordinary_request()), (quick_response(), ordinary_response())]


@pytest.mark.parametrize(("quick", "ordinary"), PAIRS, ids=["request", "response"])
def test_the_same(quick: Request | Response, ordinary: Request | Response) -> None:
    """Attributes, types, saved state, copies and loaded messages are equal."""
    assert vars(quick.data) == vars(ordinary.data)
    for name, value in vars(ordinary.data).items():
        assert isinstance(getattr(quick.data, name), type(value))
    assert vars(quick).keys() == vars(ordinary).keys()
    assert state(quick) == state(ordinary)
    assert state(quick.copy()) == state(ordinary.copy())
    assert state(type(quick).from_state(state(quick))) == state(ordinary)  # type: ignore[no-untyped-call]
    assert pickle.dumps(quick.data.headers.get_state()) == pickle.dumps(ordinary.data.headers.get_state())


@pytest.mark.parametrize(("quick", "ordinary"), PAIRS, ids=["request", "response"])
def test_they_can_be_changed(quick: Request | Response, ordinary: Request | Response) -> None:
    """Addons can set content, text, headers and trailers."""
    for message in (quick, ordinary):
        message.content = b"abc"
        message.headers["B"] = "2"
        message.headers.add("a", "3")
        message.trailers = Headers(t=b"v")
        message.text = "月"
    assert state(quick) == state(ordinary)


def test_flows() -> None:
    """A flow has what mitmproxy's has, of its own where it can be changed, an ID that no other has, and its times."""
    client, server = tflow.tclient_conn(), tflow.tserver_conn()
    begun = time.time()
    first, second = (make_flow(client, server, quick_request()) for _ in range(2))
    expected = vars(HTTPFlow(client, server, live=True))
    assert vars(first).keys() == expected.keys() | {"request"}
    for name in expected.keys() - {"id", "timestamp_created"}:
        assert getattr(first, name) == expected[name]
        assert isinstance(getattr(first, name), type(expected[name]))
        if isinstance(expected[name], dict | list):
            assert getattr(first, name) is not getattr(second, name)
    assert uuid.UUID(first.id) != uuid.UUID(second.id)
    assert begun <= first.timestamp_created <= time.time()


def test_a_flow_can_be_saved() -> None:
    """A flow with such messages can be saved and loaded."""
    flow = tflow.tflow(resp=True)
    flow.request, flow.response = quick_request(), quick_response()
    assert type(flow).from_state(flow.get_state()).get_state() == flow.get_state()

"""Tests of the content view, called as mitmproxy calls it."""

import gzip
import json
from collections.abc import Iterator

import pytest
from mitmproxy import contentviews
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.test import taddons, tflow

from moonpalace_addons.live import kept
from moonpalace_addons.live.content_view import CallView

EVENTS = (
    b'data: {"choices": [{"delta": {"content": "Once"}}]}\n\ndata: {"choices": [{"delta": {"content": " upon"}}]}\n\n'
)
ANSWER = b'{"choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}'


@pytest.fixture
def looked_at() -> Iterator[list[HTTPFlow]]:
    """Register the view; return the flows for which it calls `on_shown`."""
    found: list[HTTPFlow] = []
    before = dict(contentviews.registry._by_name)
    with taddons.context():
        contentviews.add(CallView(found.append))
        yield found
    contentviews.registry._by_name.clear()
    contentviews.registry._by_name.update(before)


def a_flow(answer: bytes, path: str = "/v1/chat/completions?x=1", **headers: str) -> HTTPFlow:
    """Return a flow with a request and this answer."""
    flow = tflow.tflow(resp=True)
    assert flow.response is not None
    flow.request.path = path
    flow.request.headers["content-type"] = "application/json"
    flow.request.content = json.dumps({"model": "kimi-k3", "messages": [{"role": "user", "content": "hi"}]}).encode()
    for name, value in headers.items():
        flow.response.headers[name.replace("_", "-")] = value
    flow.response.data.content = answer
    flow.request.timestamp_start, flow.response.timestamp_end = 100.0, 101.5
    return flow


def shown(flow: HTTPFlow) -> tuple[str | None, str]:
    """Return the view that mitmproxy chooses for an answer, and its text."""
    assert flow.response is not None
    result = contentviews.prettify_message(flow.response, flow)
    return result.view_name, result.text


def test_both_sides(looked_at: list[HTTPFlow]) -> None:
    """The view is chosen automatically for the request and the answer."""
    flow = a_flow(ANSWER, content_type="application/json")
    asked = contentviews.prettify_message(flow.request, flow)
    assert (asked.view_name, asked.text) == ("MoonPalace", "model kimi-k3\n\n── user\n  hi")
    assert shown(flow) == ("MoonPalace", "══ answer of the API (finish reason stop, 1.50s)\n  Hi.\n")
    assert looked_at
    assert all(each is flow for each in looked_at)


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        (EVENTS, {"content_type": "text/event-stream"}),
        (gzip.compress(EVENTS), {"content_type": "text/event-stream", "content_encoding": "gzip"}),
        (gzip.compress(EVENTS)[:-9], {"content_type": "text/event-stream", "content_encoding": "gzip"}),
        (EVENTS, {"content_type": "application/json"}),
    ],
    ids=["plain", "compressed", "cut", "labelled as JSON"],
)
def test_streams(looked_at: list[HTTPFlow], answer: bytes, headers: dict[str, str]) -> None:
    """A stream is merged, compressed or not, complete or not."""
    flow = a_flow(answer, **headers)
    kept.set_times(flow, [(len(EVENTS) // 2, 5_000_000), (len(EVENTS), 9_000_000)])
    view, text = shown(flow)
    assert view == "MoonPalace"
    assert text.startswith("══ answer of the API (1.50s)\n  Once upon\n")
    assert ("9.0ms" in text) is ("content_encoding" not in headers)  # these times are those of other bytes


@pytest.mark.parametrize(
    ("answer", "path", "view"),
    [
        (b'{"id": "file-1"}', "/v1/files", "JSON"),
        (b'{"odd": 1}', "/v1/chat/completions", "JSON"),
        (b"<html><body>502</body></html>", "/v1/chat/completions", "XML/HTML"),
        (b"\x00\x01", "/v1/chat/completions", "Raw"),
    ],
)
def test_anything_else(looked_at: list[HTTPFlow], answer: bytes, path: str, view: str) -> None:
    """Other bodies, and those with a wrong content type, are shown by mitmproxy's own views."""
    label = "text/html" if answer.startswith(b"<") else "application/json"
    assert shown(a_flow(answer, path, content_type=label))[0] == view


def test_how_it_ends(looked_at: list[HTTPFlow]) -> None:
    """The text says that a call still runs, or why it failed; price and warnings come from the stored row."""
    flow = a_flow(EVENTS, content_type="text/event-stream")
    assert flow.response is not None
    flow.response.timestamp_end = None
    assert "(still running)" in shown(flow)[1]
    flow.error = Error("the API broke off")
    flow.metadata |= {kept.PRICE: "¥0.02", kept.WARNINGS: ["the stream ended early"]}
    text = shown(flow)[1]
    assert "(failed: the API broke off)" in text
    assert "\ncost ¥0.02\nwarning: the stream ended early\n" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (kept.TIMES, b"abc"),
        (kept.TIMES, bytes(24)),
        (kept.TIMES, "x"),
        (kept.CUT, "x"),
        (kept.CUT, [1]),
        (kept.CUT, [0, -1]),
        (kept.CUT, [0, "1"]),
        (kept.WARNINGS, 5),
        (kept.WARNINGS, [5]),
        (kept.ROW, []),
        (kept.PRICE, {}),
    ],
)
def test_odd_metadata(looked_at: list[HTTPFlow], key: str, value: object) -> None:
    """A flow from a file may have any metadata: invalid values are ignored, and the rest is shown."""
    flow = a_flow(EVENTS, content_type="text/event-stream")
    plain = shown(flow)
    flow.metadata[key] = value
    assert plain[0] == "MoonPalace"
    assert shown(flow) == plain


def test_asked_for_where_it_does_not_fit(looked_at: list[HTTPFlow]) -> None:
    """If it is selected for another body, it says that it does not fit."""
    flow = a_flow(b"{}", "/other")
    assert flow.response is not None
    result = contentviews.prettify_message(flow.response, flow, "MoonPalace")
    assert result.syntax_highlight == "error"
    assert "this is not a call to the API" in result.text

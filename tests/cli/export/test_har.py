"""Tests of HAR, read back by two independent libraries."""

import json
from collections.abc import Callable
from io import BytesIO

import pytest
from haralyzer import HarEntry, HarParser  # type: ignore[import-untyped]
from mitmproxy.http import HTTPFlow

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.har import CLOSING, OPENING, SEPARATOR, entry

EVENTS = 'data: {"a":"中"}\n\nevent: x\nid: 7\ndata: [DONE]\n\n'.encode()


def archive(*calls: Call) -> str:
    """Return an archive of these calls."""
    return OPENING + SEPARATOR.join(entry(call) for call in calls) + CLOSING


def by_haralyzer(*calls: Call) -> list[HarEntry]:
    """Return the entries as haralyzer reads them."""
    return [HarEntry(one) for one in HarParser.from_string(archive(*calls)).har_data["entries"]]


def by_mitmproxy(*calls: Call) -> list[HTTPFlow]:
    """Return the flows as mitmproxy reads them."""
    from mitmproxy.http import HTTPFlow
    from mitmproxy.io import FlowReader

    flows = FlowReader(BytesIO(archive(*calls).encode())).stream()
    return [flow for flow in flows if isinstance(flow, HTTPFlow)]


def test_plain_call(call: Callable[..., Call]) -> None:
    """Both libraries read the original method, URL, headers, bodies, status and times."""
    given = call('{"a": "中"}'.encode(), b'{"id": "x"}', query="a=1&b=%20")
    (one,) = by_haralyzer(given)
    assert (one.request.method, one.request.url) == ("POST", "https://api.moonshot.cn/v1/chat/completions?a=1&b=%20")
    assert one.request.queryString == [{"name": "a", "value": "1"}, {"name": "b", "value": " "}]
    assert (one.request.text, one.request.mimeType) == ('{"a": "中"}', "application/json")
    assert (one.response.status, one.response.statusText, one.response.text) == (200, "OK", '{"id": "x"}')
    assert one.response.get_header_value("Msh-Request-Id") == "req-00000001-aaaa-bbbb"
    assert one.startTime == given.exchange.started_at
    assert (one.timings["wait"], one.timings["receive"]) == (1.2, pytest.approx(0.476003))
    assert one.time == sum(one.timings.values())
    (flow,) = by_mitmproxy(given)
    assert (flow.request.method, flow.request.path) == ("POST", "/v1/chat/completions?a=1&b=%20")
    assert flow.request.headers["X-Stainless-Lang"] == "python"
    assert flow.request.content == '{"a": "中"}'.encode()
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.content) == (200, b'{"id": "x"}')
    assert flow.request.timestamp_start == given.exchange.started_at.timestamp()


def test_stream(call: Callable[..., Call]) -> None:
    """A stream has its raw events as content, and additionally each event with its time and the merged completion."""
    given = call(response=b'{"merged": true}', events=EVENTS, event_times=(1_500_000_000, 2_000_000_000))
    (one,) = by_haralyzer(given)
    began = given.exchange.started_at.timestamp()
    assert (one.response.text.encode(), one.response.mimeType) == (EVENTS, "text/event-stream")
    assert one.raw_entry["_eventSourceMessages"] == [
        {"time": began + 1.5, "eventName": "message", "eventId": "", "data": '{"a":"中"}'},
        {"time": began + 2.0, "eventName": "x", "eventId": "7", "data": "[DONE]"},
    ]
    assert one.raw_entry["_completion"] == {"merged": True}
    (flow,) = by_mitmproxy(given)
    assert flow.response is not None
    assert flow.response.content == EVENTS


def test_stream_without_times(call: Callable[..., Call]) -> None:
    """Events with unknown times have none, and a stream that merges to nothing has no completion."""
    (one,) = by_haralyzer(call(response=EVENTS, events=EVENTS))
    assert [sorted(event) for event in one.raw_entry["_eventSourceMessages"]] == [["data", "eventId", "eventName"]] * 2
    assert "_completion" not in one.raw_entry


def test_call_without_an_answer(call: Callable[..., Call]) -> None:
    """A failed call has status 0 and its reason, as in browsers, and both libraries read it."""
    given = call(response=None, refused=True)
    (one,) = by_haralyzer(given)
    assert one.response.status == 0
    assert one.raw_entry["response"]["_error"] == "connect: connection refused by 127.0.0.1:26335"
    assert (one.timings["wait"], one.timings["receive"]) == (1.2, pytest.approx(0.476003))
    (flow,) = by_mitmproxy(given)
    assert flow.response is not None
    assert flow.response.status_code == 0


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "aws-chunked", "gzip, br"])
def test_bodies_that_were_encoded(call: Callable[..., Call], coding: str) -> None:
    """Stored bodies are decoded: a content encoding in the headers does not confuse the readers."""
    headers = f"Content-Type: application/json\r\nContent-Encoding: {coding}\r\n"
    sizes = {"request_bytes": 94, "response_bytes": 204}
    given = call(b'{"q": 1}', b'{"a": 1}', response_headers=headers, request_headers=headers, **sizes)
    (one,) = by_haralyzer(given)
    assert one.response.text == '{"a": 1}'
    assert (one.raw_entry["request"]["bodySize"], one.raw_entry["response"]["bodySize"]) == (94, -1)
    (flow,) = by_mitmproxy(given)
    assert flow.response is not None
    assert (flow.request.content, flow.response.content) == (b'{"q": 1}', b'{"a": 1}')


def test_an_answer_that_was_not_kept_to_its_end(call: Callable[..., Call]) -> None:
    """Its size is that of what came, that of its content of what is there."""
    answer = by_haralyzer(call(b"{}", b"12345", response_bytes=1_005))[0].raw_entry["response"]
    assert (answer["bodySize"], answer["content"]["size"]) == (1_005, 5)


def test_bytes(call: Callable[..., Call]) -> None:
    """Bodies that are not text are in base64, which the readers decode for responses."""
    given = call(b"\xff\x00", b"\xfe\x00", response_content_type="application/octet-stream")
    (one,) = by_haralyzer(given)
    assert (one.raw_entry["request"]["postData"]["text"], one.response.textEncoding) == ("/wA=", "base64")
    (flow,) = by_mitmproxy(given)
    assert flow.response is not None
    assert flow.response.content == b"\xfe\x00"


def test_many_calls(call: Callable[..., Call]) -> None:
    """Entries are in the order of the calls, each with our metadata and labels."""
    calls = [call(id=number, tags=("t",), category="badcase") for number in (3, 1, 2)]
    entries = by_haralyzer(*calls)
    assert [one.raw_entry["_moonpalace"]["moonpalace_id"] for one in entries] == ["3", "1", "2"]
    assert entries[0].raw_entry["_moonpalace"]["tags"] == ["t"]
    assert HarParser.from_string(archive(*calls)).version == "1.2"
    assert len(by_mitmproxy(*calls)) == 3


def test_no_call_at_all() -> None:
    """An archive without calls is valid."""
    assert json.loads(archive())["log"]["entries"] == []

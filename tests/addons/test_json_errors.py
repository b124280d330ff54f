"""Failures of upstream as seen by clients."""

import json

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow, tutils

from moonpalace_addons.calls.failures import (
    BAD_REQUEST,
    CLIENT_LEFT,
    KILLED,
    NO_DESCRIPTORS,
    UPSTREAM_CUT,
    UPSTREAM_REFUSED,
    UPSTREAM_SILENT,
    Failure,
)
from moonpalace_addons.causes import Causes
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.json_errors import JsonErrors
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.settings.values import resolve
from tests.hostile import HOSTILE_LINES, assert_quoted

REFUSED = "[Errno 111] Connect call failed ('127.0.0.1', 9)"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, object]]:
    """Give the list of the answers that clients get."""
    given: list[tuple[int, object]] = []

    def answer(_: HTTPFlow, status: int, body: bytes) -> bool:
        given.append((status, json.loads(body)))
        return True

    monkeypatch.setattr(flow_control, "answer_and_close", answer)
    return given


def failed(message: str | None, mode: str = "reverse:https://api.moonshot.cn") -> HTTPFlow:
    """Return a flow that failed."""
    flow = tflow.tflow(err=Error(message) if message is not None else False)
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    return flow


def fail(flow: HTTPFlow, failure: Failure = UPSTREAM_CUT) -> None:
    """Call the hook."""

    class Known(Causes):
        def of(self, _: HTTPFlow) -> Failure:
            return failure

    JsonErrors(Configuration(resolve({}, {"MOONPALACE_HOME": "/nowhere"})), Known().of).error(flow)


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        (UPSTREAM_REFUSED, 502, f"MoonPalace got no answer from https://api.moonshot.cn: {REFUSED}"),
        (UPSTREAM_SILENT, 504, f"MoonPalace got no answer from https://api.moonshot.cn: {REFUSED}"),
        (NO_DESCRIPTORS, 503, f"MoonPalace got no answer from https://api.moonshot.cn: {REFUSED}"),
        (BAD_REQUEST, 400, f"MoonPalace did not send this request: {REFUSED}"),
    ],
)
def test_failure_is_json(answers: list[tuple[int, object]], failure: Failure, status: int, text: str) -> None:
    """A failure before the answer gives the client a status and JSON in the API's format with the reason."""
    fail(failed(REFUSED), failure)
    assert answers == [(status, {"error": {"message": text, "type": failure.kind}})]


def test_a_failure_is_quoted_with_care(answers: list[tuple[int, object]]) -> None:
    """Whatever the reason quotes from upstream, the client gets one short line without secrets."""
    fail(failed(f"bad answer: {HOSTILE_LINES}"))
    ((_, body),) = answers
    assert isinstance(body, dict)
    assert_quoted(body["error"]["message"])


def test_failure_on_the_anthropic_path(answers: list[tuple[int, object]]) -> None:
    """A client of /messages gets the failure in Anthropic's shape."""
    flow = failed("It failed.")
    flow.request.path = "/anthropic/v1/messages?beta=true"
    fail(flow, UPSTREAM_SILENT)
    ((status, body),) = answers
    assert isinstance(body, dict)
    assert (status, body["type"], body["error"]["type"]) == (504, "error", "upstream_timeout")


@pytest.mark.parametrize("failure", [CLIENT_LEFT, KILLED])
def test_nobody_to_tell(answers: list[tuple[int, object]], failure: Failure) -> None:
    """A client that left, and one whose connection the user closed, get nothing."""
    fail(failed("It failed."), failure)
    fail(failed(None))
    assert answers == []


@pytest.mark.parametrize(("failure", "statuses"), [(CLIENT_LEFT, []), (BAD_REQUEST, [400])])
def test_request_that_is_not_whole(answers: list[tuple[int, object]], failure: Failure, statuses: list[int]) -> None:
    """A client that broke off its request gets no error about upstream."""
    flow = failed("It failed.")
    flow.request.timestamp_end = None
    fail(flow, failure)
    assert [status for status, _ in answers] == statuses


def test_stream_under_way_gets_no_second_head(answers: list[tuple[int, object]]) -> None:
    """If the answer is streaming, the failure remains a broken transfer."""
    flow = failed("peer closed connection")
    flow.response = tutils.tresp()
    flow.response.stream = lambda data: data
    fail(flow)
    assert answers == []


def test_held_answer_becomes_an_error(answers: list[tuple[int, object]]) -> None:
    """A JSON answer of which the client has nothing yet becomes a 502."""
    flow = failed("peer closed connection without sending complete message body")
    flow.response = tutils.tresp()
    fail(flow)
    assert [status for status, _ in answers] == [502]


def test_other_hosts_keep_mitmproxys_answer(answers: list[tuple[int, object]]) -> None:
    """In forward mode failures of other hosts are left to mitmproxy."""
    fail(failed(REFUSED, "regular"))
    assert answers == []

"""Keys on mitmweb's page."""

import json
from typing import Any

import pytest
from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.test import tflow
from mitmproxy.tools.web import app

from moonpalace_addons.mitm import web_page

KEY = "sk-clients-own-0123456789abcdef"


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> HTTPFlow:
    """Return a flow with keys, and restore mitmweb afterwards."""
    monkeypatch.setattr(app, "flow_to_json", app.flow_to_json)
    monkeypatch.setattr(app.FlowHandler, "json", app.FlowHandler.json)
    web_page.mask_keys()
    web_page.mask_keys()  # a second time changes nothing
    flow = tflow.tflow(resp=True)
    fields = [("Authorization", f"Bearer {KEY}"), ("X-Api-Key", KEY), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X", "y")]
    flow.request.headers = Headers([(name.encode(), value.encode()) for name, value in fields])
    flow.request.path = f"/v1/models?api_key={KEY}&x=1"
    assert flow.response is not None
    flow.response.headers = Headers([(b"Set-Cookie", KEY.encode())])
    return flow


def test_keys_are_not_shown(flow: HTTPFlow) -> None:
    """The page gets no key; the flow, which is sent and replayed, keeps it."""
    shown = app.flow_to_json(flow)
    assert KEY not in json.dumps(shown)
    assert ("Authorization", "Bearer ***") in shown["request"]["headers"]
    assert ("X", "y") in shown["request"]["headers"]
    assert shown["request"]["path"] == "/v1/models?api_key=***&x=1"
    assert flow.request.headers["authorization"] == f"Bearer {KEY}"


def edited(flow: HTTPFlow, edit: dict[str, Any]) -> dict[str, Any]:
    """Return an edit as mitmweb applies it."""

    class Handler:
        request = type("Request", (), {"headers": {"Content-Type": "application/json"}, "body": b""})()

    Handler.request.body = json.dumps(edit).encode()
    handler: Any = Handler()
    handler.flow = flow
    found: dict[str, Any] = vars(app.FlowHandler)["json"].fget(handler)
    return found


def test_an_edit_puts_the_keys_back(flow: HTTPFlow) -> None:
    """If one header is edited the page sends all of them; masked ones keep their real values."""
    shown = app.flow_to_json(flow)["request"]
    headers = [list(field) for field in shown["headers"][:-1]] + [["X", "z"], ["Authorization", "Bearer mine"]]
    found = edited(flow, {"request": {"headers": headers, "path": shown["path"]}})["request"]
    assert found["path"] == flow.request.path
    assert found["headers"] == [
        ["Authorization", f"Bearer {KEY}"],
        ["X-Api-Key", KEY],
        ["Cookie", "a=1"],
        ["Cookie", "b=2"],
        ["X", "z"],
        ["Authorization", "Bearer mine"],
    ]


@pytest.mark.parametrize("edit", [{}, {"comment": "x"}, {"request": {"method": "PUT"}}, {"response": {"headers": []}}])
def test_other_edits_are_unchanged(flow: HTTPFlow, edit: dict[str, Any]) -> None:
    """All other edits are unchanged."""
    assert edited(flow, edit) == edit

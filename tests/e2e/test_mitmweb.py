"""The bundle in mitmweb, run as `mitmweb -s` and as `mpal start --web`: its page shows the calls."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

CHAT = "/v1/chat/completions"
BODY = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello 月亮 world"}]}
PAGE = r"http://127\.0\.0\.1:(\d+)/\?token=(\w+)"


@pytest.fixture(scope="module", params=["mitmweb -s", "mpal start --web"])
def web(
    request: pytest.FixtureRequest, launch: Launcher, ports: Callable[[], int], mock: MockServer
) -> Iterator[Proxy]:
    """Provide mitmweb with the bundle, before the mock."""
    port = str(ports())
    if request.param == "mitmweb -s":
        arguments = ("-p", "0", "--set", f"web_port={port}", "--set", "web_open_browser=false")
        running = launch.mitmproxy("mitmweb", *arguments, extra={"MOONPALACE_ENDPOINT": mock.url})
    else:
        running = launch.start("--web", "--web-port", port, endpoint=mock.url)
    with running as proxy:
        yield proxy


XSRF = "0" * 32
"""The token that mitmweb requires twice for changes; any value will do."""


@pytest.fixture
def page(web: Proxy) -> Iterator[httpx.Client]:
    """Provide a client of mitmweb's API, with the printed token."""
    found = web.log.wait_for(PAGE)
    headers = {"Authorization": f"Bearer {found[2]}", "X-XSRFToken": XSRF, "Cookie": f"_mitmproxy_xsrf={XSRF}"}
    with web.client(base_url=f"http://127.0.0.1:{found[1]}", headers=headers) as client:
        yield client


@pytest.mark.parametrize("model", ["mock-echo", "mock-gzip", "mock-big"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_page_shows_the_call(web: Proxy, page: httpx.Client, request_id: str, model: str, stream: bool) -> None:
    """Mitmweb's API lists the flow and has its whole body, also of a stream, and the row is stored."""
    with web.client(headers={"Authorization": "Bearer sk-test-0123456789", "X-Request-Id": request_id}) as client:
        answer = client.post(CHAT, json={**BODY, "model": model, "stream": stream})
    assert answer.status_code == 200
    row = web.row(request_id)
    assert row.state is State.COMPLETED
    bodies = web.bodies(row)
    assert (bodies.event_stream if stream else bodies.response) == answer.content
    flows = page.get("/flows").json()
    (flow,) = [flow for flow in flows if ["X-Request-Id", request_id] in flow["request"]["headers"]]
    assert flow["response"]["status_code"] == 200
    shown = page.get(f"/flows/{flow['id']}/response/content.data")
    assert shown.content == answer.content
    if stream:
        assert answer.content.endswith(b"data: [DONE]\n\n")


def test_a_stream_is_not_held_up(web: Proxy, request_id: str) -> None:
    """The first event arrives before the second is sent, although the page keeps bodies."""
    headers = {"X-Mock-Delay": "3600", "X-Request-Id": request_id}
    body = {**BODY, "model": "mock-slow", "stream": True}
    with web.client() as client, client.stream("POST", CHAT, json=body, headers=headers) as answer:
        got = next(answer.iter_raw())
    row = web.row(request_id)
    assert row.state is State.CLIENT_DISCONNECTED
    assert web.bodies(row).event_stream == got


def test_the_page_wants_its_token(web: Proxy, page: httpx.Client) -> None:
    """Without the token, and through the proxy itself, nobody sees the flows."""
    assert httpx.get(f"{page.base_url}/flows", trust_env=False).status_code == 403
    with web.client() as client:
        through = client.get("/flows")
    assert through.status_code == 404


def shown_of(page: httpx.Client, request_id: str) -> dict[str, Any]:
    """Return the flow of an intercepted call."""

    def waiting_flows() -> list[dict[str, Any]]:
        flows = page.get("/flows").json()
        return [
            flow for flow in flows if ["X-Request-Id", request_id] in flow["request"]["headers"] and flow["intercepted"]
        ]

    return until(waiting_flows)[0]


def done(answer: httpx.Response) -> None:
    """Check that mitmweb has accepted a request."""
    assert answer.status_code < 300, answer.text


@pytest.fixture
def caller(web: Proxy, page: httpx.Client, request_id: str) -> Iterator[Callable[[str], Future[httpx.Response]]]:
    """Provide a function that makes a call, intercepted by a filter of mitmweb's."""

    def call(which: str) -> Future[httpx.Response]:
        done(page.put("/options", json={"intercept": which}))
        headers = {"Authorization": "Bearer sk-test-0123456789", "X-Request-Id": request_id}
        return pool.submit(client.post, CHAT, json=BODY, headers=headers)

    with web.client() as client, ThreadPoolExecutor(1) as pool:
        yield call
    done(page.put("/options", json={"intercept": ""}))


def test_a_request_is_edited_and_replayed(
    web: Proxy, page: httpx.Client, request_id: str, caller: Callable[[str], Future[httpx.Response]]
) -> None:
    """The edited request goes to the API; the row has the client's request; a replay is a call too."""
    called = caller("~q")
    flow = shown_of(page, request_id)
    edited = json.dumps({**BODY, "messages": [{"role": "user", "content": "edited by hand"}]})
    done(page.put(f"/flows/{flow['id']}", json={"request": {"content": edited}}))
    done(page.post(f"/flows/{flow['id']}/resume"))
    answer = called.result(60).json()
    assert "edited by hand" in answer["choices"][0]["message"]["content"]
    row = web.row(request_id)
    assert row.state is State.COMPLETED
    assert json.loads(web.bodies(row).request or b"") == BODY
    done(page.put("/options", json={"intercept": ""}))
    done(page.post(f"/flows/{flow['id']}/replay"))
    again = web.rows(2, of={"client_request_id": request_id})[1]
    assert (again.state, again.status_code) == (State.COMPLETED, 200)
    assert json.loads(web.bodies(again).request or b"") == json.loads(edited)
    assert "edited by hand" in (web.bodies(again).response or b"").decode()


def test_an_answer_is_edited(
    web: Proxy, page: httpx.Client, request_id: str, caller: Callable[[str], Future[httpx.Response]]
) -> None:
    """The client gets the edited answer, with the correct length; the row has the API's answer."""
    called = caller("~s")
    flow = shown_of(page, request_id)
    done(page.put(f"/flows/{flow['id']}", json={"response": {"content": '{"edited": true}', "code": 418}}))
    done(page.post(f"/flows/{flow['id']}/resume"))
    answer = called.result(60)
    assert (answer.status_code, answer.content) == (418, b'{"edited": true}')
    row = web.row(request_id)
    assert (row.state, row.status_code) == (State.COMPLETED, 200)
    assert b"Hello" in (web.bodies(row).response or b"")


def test_a_call_is_killed(
    web: Proxy, page: httpx.Client, request_id: str, caller: Callable[[str], Future[httpx.Response]]
) -> None:
    """The client of a killed flow only gets the end of the connection, and the row says who ended it."""
    called = caller("~q")
    done(page.post(f"/flows/{shown_of(page, request_id)['id']}/kill"))
    with pytest.raises(httpx.TransportError):
        called.result(60)
    row = web.row(request_id)
    assert (row.state, row.error_kind) == (State.CLIENT_DISCONNECTED, "killed")

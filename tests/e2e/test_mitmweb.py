"""The bundle in mitmweb, run as `mitmweb -s` and as `mpal start --web`: its page shows what passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from moonpalace_addons.store.tasks import State
from moonpalace_cli.mock.server import MockServer

if TYPE_CHECKING:
    from tests.e2e.conftest import Launcher, Proxy

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


@pytest.fixture
def page(web: Proxy) -> Iterator[httpx.Client]:
    """Provide a client of mitmweb's own API, with the token that it printed."""
    found = web.log.wait_for(PAGE)
    headers = {"Authorization": f"Bearer {found[2]}"}
    with web.client(base_url=f"http://127.0.0.1:{found[1]}", headers=headers) as client:
        yield client


@pytest.mark.parametrize("model", ["mock-echo", "mock-gzip", "mock-big"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_page_shows_the_call(web: Proxy, page: httpx.Client, request_id: str, model: str, stream: bool) -> None:
    """Mitmweb's API lists the flow and has its whole body, of a stream too, and the row is there."""
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
    """The first event comes while the second has not been sent, though the page keeps bodies."""
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

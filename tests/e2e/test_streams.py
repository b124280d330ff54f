"""Streams in the other ways to run the proxy, and `--stream-usage`."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire import sse
from moonpalace_cli.mock.scenarios import Times
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

KEY = "sk-e2e-client-0123456789"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello 月亮 world 🌙"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
PATIENCE = 60.0
WAYS = ("mpal start", "mitmdump -s", "mitmweb -s", "mpal start --web", "mitmdump --mode")
"""All run on our engine except the last, which has mitmproxy's own server."""
NAMES = (
    "mock-echo",
    "mock-tools",
    "mock-two-choices",
    "mock-comments",
    "mock-heartbeat",
    "mock-crlf",
    "mock-cr",
    "mock-split",
    "mock-unterminated",
    "mock-until-close",
    "mock-usage-both",
    "mock-empty-choices",
)
FLAGS = ("--force-stream", "--stream-usage", "--detect-repeat", "--heartbeat", "0.1", "--repeat-threshold", "0.4")
OPTIONS = {
    "moonpalace_force_stream": "true",
    "moonpalace_stream_usage": "true",
    "moonpalace_detect_repeat": "true",
    "moonpalace_heartbeat": "0.1",
    "moonpalace_repeat_threshold": "0.4",
}

type Fields = dict[str, Any]


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    """Provide a mock with pauses, shared by a module; those of mock-slow are longer than the interval of blanks."""
    with MockServer(times=Times(slow=0.15, split=0)) as server:
        yield server


@pytest.fixture(scope="module", params=WAYS)
def proxy(
    request: pytest.FixtureRequest, launch: Launcher, ports: Callable[[], int], mock: MockServer
) -> Iterator[Proxy]:
    """Provide a proxy with all features for streams enabled, in each way to run it."""
    if str(request.param).startswith("mpal"):
        web = ("--web", "--web-port", str(ports())) if "--web" in request.param else ()
        running = launch.start(*FLAGS, *web, endpoint=mock.url)
    else:
        options = OPTIONS | {"moonpalace_endpoint": mock.url}
        if request.param == "mitmweb -s":
            options |= {"web_port": str(ports()), "web_open_browser": "false"}
        arguments = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
        if request.param == "mitmdump --mode":
            arguments += ["--mode", f"reverse:{mock.url}"]
        running = launch.mitmproxy(str(request.param).split()[0], "-p", "0", *arguments)
    with running as found:
        yield found


def request_body(model: str, **more: object) -> Fields:
    """Return a request."""
    return {"model": model, "messages": MESSAGES, "tools": TOOLS, **more}


def data_of(body: bytes) -> list[str]:
    """Return the data of the events of a stream."""
    decoder = sse.Decoder()
    return [event.data for event in (*decoder.feed(body), *decoder.close())]


@pytest.mark.parametrize(
    "model",
    [*NAMES, "mock-no-usage"],
)
def test_usage_is_asked_for_and_hidden(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str, model: str
) -> None:
    """The proxy requests the usage; the client gets the events it would get otherwise, and the row the tokens."""
    body = json.dumps(request_body(model, stream=True)).encode()
    headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
    through = client.post(CHAT, content=body, headers=headers)
    direct = client.post(f"{mock.url}{CHAT}", content=body, headers={"Content-Type": "application/json"})
    assert mock.call_of(request_id).body == body[:-1] + b', "stream_options":{"include_usage":true}}'.replace(
        b", ", b","
    )
    assert data_of(through.content) == data_of(direct.content)
    assert through.headers["content-type"] == direct.headers["content-type"]
    row = proxy.row(request_id)
    assert row.changes == ("body: stream_options.include_usage set to true",)
    assert (row.state, row.is_stream, row.is_coerced) == (State.COMPLETED, True, False)
    assert proxy.bodies(row).request == body
    assert (row.total_tokens is None) == (model == "mock-no-usage")
    kept = [json.loads(data) for data in data_of(proxy.bodies(row).event_stream or b"") if data != "[DONE]"]
    hidden = [chunk for chunk in kept if chunk["choices"] == [] and "usage" in chunk]
    assert len(hidden) == (model != "mock-no-usage")
    if hidden:
        assert hidden[0]["usage"]["total_tokens"] == row.total_tokens
        assert row.completion_tokens == hidden[0]["usage"]["completion_tokens"]


@pytest.mark.parametrize("model", ["mock-gzip", "mock-zstd"])
def test_usage_is_hidden_in_encoded_streams(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str, model: str
) -> None:
    """With any encoding, the client can decode the stream, and the headers are correct."""
    through = client.post(CHAT, json=request_body(model, stream=True), headers={"X-Request-Id": request_id})
    direct = client.post(f"{mock.url}{CHAT}", json=request_body(model, stream=True))
    assert data_of(through.content) == data_of(direct.content)
    assert proxy.row(request_id).total_tokens


def test_a_client_that_asks_gets_the_usage(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str
) -> None:
    """If the client itself requests the usage, the stream passes byte for byte, in both directions."""
    body = json.dumps(request_body("mock-comments", stream=True, stream_options={"include_usage": True})).encode()
    headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
    through = client.post(CHAT, content=body, headers=headers)
    direct = client.post(f"{mock.url}{CHAT}", content=body, headers={"Content-Type": "application/json"})
    assert mock.call_of(request_id).body == body
    assert through.content == direct.content
    assert json.loads(data_of(through.content)[-2])["choices"] == []
    row = proxy.row(request_id)
    assert (row.changes, row.is_coerced) == ((), False)
    assert row.total_tokens


def test_the_first_event_is_not_held_up(mock: MockServer, proxy: Proxy, request_id: str) -> None:
    """The first event arrives before the second is sent; the client's disconnection is noticed upstream."""
    headers = {"X-Mock-Delay": "3600", "X-Request-Id": request_id}
    with (
        proxy.client() as client,
        client.stream("POST", CHAT, json=request_body("mock-slow", stream=True), headers=headers) as answer,
    ):
        assert data_of(next(answer.iter_raw()))
    assert proxy.row(request_id).state is State.CLIENT_DISCONNECTED
    assert (mock.call_of(request_id).sent_events, mock.call_of(request_id).cut_off) == (1, True)


def test_a_forced_stream(mock: MockServer, proxy: Proxy, request_id: str) -> None:
    """The SDK gets the same answer as without it, after blanks, and the row has the events."""
    body = request_body("mock-slow")
    found = []
    for url in (mock.url, proxy.url):
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as sdk:
            headers = {"X-Request-Id": f"{request_id}-{url}"}
            found.append(sdk.chat.completions.create(**body, extra_headers=headers).model_dump())
    assert found[0] == found[1]
    row = proxy.row(f"{request_id}-{proxy.url}")
    assert (row.state, row.is_stream, row.is_coerced) == (State.COMPLETED, True, True)
    assert data_of(proxy.bodies(row).event_stream or b"")[-1] == "[DONE]"
    assert json.loads(mock.call_of(row.client_request_id or "").body)["stream"] is True


@pytest.mark.parametrize("model", ["mock-repeat", "mock-repeat-reasoning", "mock-repeat-tools"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_is_interrupted(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str, model: str, stream: bool
) -> None:
    """With all features enabled the loop ends cleanly with the reason repeat, and upstream is disconnected."""
    answer = client.post(CHAT, json=request_body(model, stream=stream), headers={"X-Request-Id": request_id})
    if stream:
        *chunks, done = data_of(answer.content)
        assert done == "[DONE]"
        ending = json.loads(chunks[-1])
    else:
        ending = answer.json()
    assert [choice["finish_reason"] for choice in ending["choices"]] == ["repeat"]
    row = proxy.row(request_id)
    assert (row.state, row.is_coerced) == (State.REPEAT_INTERRUPTED, not stream)
    proxy.log.wait_for("it appears that there is an issue with content repeating in the current response")
    assert client.post(CHAT, json=request_body("mock-echo")).status_code == 200
    call = mock.call_of(request_id)
    assert call.cut_off
    assert call.sent_events < call.total_events / 3

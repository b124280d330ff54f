"""The WebSocket form of /v1/responses through a proxy, with the openai SDK and a plain client: a row for each call."""

import json
import socket
from collections.abc import Iterator

import pytest
from openai import OpenAI
from websockets.sync.client import ClientConnection, connect

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

KEY = "sk-live-0123456789abcdefghijklmnop"


@pytest.fixture(scope="module", params=["moonpalace", "mitmproxy"])
def proxy(request: pytest.FixtureRequest, launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide a proxy on each engine."""
    with launch.start("--engine", request.param, endpoint=mock.url) as running:
        yield running


def opened(proxy: Proxy, request_id: str) -> ClientConnection:
    """Open a WebSocket through the proxy."""
    headers = {"X-Request-Id": request_id, "Authorization": f"Bearer {KEY}"}
    return connect(proxy.url.replace("http:", "ws:") + "/v1/responses", proxy=None, additional_headers=headers)


def answered(client: ClientConnection) -> list[str]:
    """Return the types of the events up to the last one of an answer."""
    kinds: list[str] = []
    while not kinds or kinds[-1] not in ("response.completed", "response.incomplete", "error"):
        kinds.append(json.loads(client.recv(60))["type"])
    return kinds


def rows_of(proxy: Proxy, request_id: str, count: int) -> list[Exchange]:
    """Return the rows of a connection, its own first, after they have ended."""
    return sorted(proxy.rows(count, of={"client_request_id": request_id}), key=lambda row: row.started_at)


def test_each_call_is_a_row(proxy: Proxy, request_id: str) -> None:
    """Each call on a connection has a row with tokens, text and outcome; all else is stored with the connection."""
    with opened(proxy, request_id) as client:
        client.send(json.dumps({"type": "response.create", "model": "mock-echo", "input": f"my key is {KEY}, 你好"}))
        assert answered(client)[-1] == "response.completed"
        client.send(json.dumps({"type": "response.create", "model": "mock-length", "input": "go", "stream_id": "a"}))
        assert answered(client)[-1] == "response.incomplete"
        client.send(json.dumps({"type": "response.create", "model": "mock-429", "input": "go"}))
        assert answered(client) == ["error"]
        client.send("not JSON")
        assert answered(client) == ["error"]
    connection, first, second, third = rows_of(proxy, request_id, 4)
    assert (connection.status_code, connection.state, connection.finish_reason) == (101, State.COMPLETED, None)
    assert "calls in it with rows of their own: 3" in connection.warnings[0]
    assert (first.state, first.finish_reason, first.model_answered) == (State.COMPLETED, "completed", "mock-echo")
    assert (first.is_stream, first.status_code, first.error_kind) == (True, 101, None)
    assert first.prompt_tokens
    assert first.completion_tokens
    assert first.time_to_first_token
    assert not first.warnings or "masked" in first.warnings[0]
    assert (second.finish_reason, third.error_kind) == ("max_output_tokens", "engine_overloaded_error")
    bodies = proxy.bodies(first)
    assert json.loads(bodies.request or b"")["model"] == "mock-echo"
    text = json.loads(bodies.response or b"")["output"][0]["content"][0]["text"]
    assert text.endswith("你好")
    for row in (connection, first):
        stored = proxy.bodies(row)
        assert KEY.encode() not in (stored.request or b"") + (stored.response or b"") + (stored.event_stream or b"")
    assert b"event: client\ndata: not JSON\n\n" in (proxy.bodies(connection).event_stream or b"")
    assert "你好" in proxy.mpal("inspect", str(first.id), "--chat").stdout.decode()
    assert b"went over a WebSocket" in proxy.mpal("export", str(first.id), "--curl").stderr


def test_a_client_that_leaves(proxy: Proxy, request_id: str) -> None:
    """A call without an end gets the outcome of its connection."""
    client = opened(proxy, request_id)
    client.send(json.dumps({"type": "response.create", "model": "mock-stall", "input": "go"}))
    client.recv(60)
    client.socket.shutdown(socket.SHUT_RDWR)
    connection, call = rows_of(proxy, request_id, 2)
    assert (connection.state, call.state) == (State.CLIENT_DISCONNECTED,) * 2
    assert call.error_kind == "client_disconnected"


def test_the_openai_sdk(proxy: Proxy, request_id: str) -> None:
    """The SDK gets the answer, and the row agrees with it."""
    client = OpenAI(base_url=f"{proxy.url}/v1", api_key=KEY)
    with client.responses.connect(extra_headers={"X-Request-Id": request_id}) as connection:
        connection.response.create(model="mock-reasoning", input="Say something")
        for event in connection:
            if event.type == "response.completed":
                response = event.response
                break
    _, call = rows_of(proxy, request_id, 2)
    assert call.chatcmpl_id == response.id
    assert response.usage is not None
    assert (call.prompt_tokens, call.completion_tokens) == (response.usage.input_tokens, response.usage.output_tokens)
    stored = json.loads(proxy.bodies(call).response or b"")
    assert stored["output"] == [item.model_dump(exclude_unset=True) for item in response.output]

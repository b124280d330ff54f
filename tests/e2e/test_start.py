"""`mpal start` with common clients: what they get, and what is stored."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from moonpalace_addons.store.tasks import State
from moonpalace_cli.mock.scripts import THOUGHTS
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

CURL = shutil.which("curl") or ""
KEY = "sk-e2e-client-0123456789"
NEVER = "3600"  # seconds between the events of a stream: the second one does not come
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello 月亮 world"}]
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture(scope="module")
def sdk(proxy: Proxy) -> Iterator[openai.OpenAI]:
    """Provide the SDK, configured as the announcement says."""
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["mock-echo", "mock-reasoning", "mock-two-choices", "mock-tools", "mock-length"])
def test_a_plain_call_becomes_a_row(proxy: Proxy, sdk: openai.OpenAI, request_id: str, model: str) -> None:
    """The row agrees with the SDK's result: model, tokens, finish reason and identifiers."""
    raw = sdk.chat.completions.with_raw_response.create(
        model=model, messages=MESSAGES, tools=TOOLS, extra_headers={"X-Request-Id": request_id}
    )
    answer = raw.parse()
    row = proxy.row(request_id)
    assert answer.usage is not None
    assert (row.state, row.status_code, row.is_stream) == (State.COMPLETED, 200, False)
    assert (row.model_requested, row.model_answered) == (model, model)
    assert (row.chatcmpl_id, row.finish_reason) == (answer.id, answer.choices[0].finish_reason)
    assert (row.prompt_tokens, row.completion_tokens, row.total_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
        answer.usage.total_tokens,
    )
    assert row.msh_request_id == raw.headers["Msh-Request-Id"]
    assert row.msh_uid == raw.headers["Msh-Uid"]
    assert row.server_timing == int(raw.headers["Server-Timing"].rpartition("=")[2])
    assert row.latency is not None
    assert proxy.bodies(row).response == raw.http_response.content


@pytest.mark.parametrize("model", ["mock-echo", "mock-reasoning", "mock-two-choices", "mock-tools", "mock-length"])
def test_a_stream_becomes_the_row_of_the_plain_call(
    proxy: Proxy, sdk: openai.OpenAI, request_id: str, model: str
) -> None:
    """The stored completion of a stream equals the SDK's, and the API's answer without streaming."""
    plain = sdk.chat.completions.create(model=model, messages=MESSAGES, tools=TOOLS)
    chunks = list(
        sdk.chat.completions.create(
            model=model, messages=MESSAGES, tools=TOOLS, stream=True, extra_headers={"X-Request-Id": request_id}
        )
    )
    row = proxy.row(request_id)
    assert plain.usage is not None
    assert (row.state, row.status_code, row.is_stream) == (State.COMPLETED, 200, True)
    assert (row.chatcmpl_id, row.model_answered) == (chunks[0].id, model)
    assert row.finish_reason == plain.choices[0].finish_reason
    assert row.total_tokens == plain.usage.total_tokens
    merged = json.loads(proxy.bodies(row).response or b"")
    expected = plain.model_dump(exclude_unset=True)
    assert merged["object"] == "chat.completion"
    assert [choice["message"] for choice in merged["choices"]] == [choice["message"] for choice in expected["choices"]]
    assert None not in (row.time_to_first_token, row.time_to_headers, row.longest_stall)


def test_the_pieces_of_a_stream_are_what_the_client_reads(proxy: Proxy, sdk: openai.OpenAI, request_id: str) -> None:
    """Content and reasoning reach the SDK piece by piece, and complete."""
    stream = sdk.chat.completions.create(
        model="mock-reasoning", messages=MESSAGES, stream=True, extra_headers={"X-Request-Id": request_id}
    )
    deltas = [choice.delta.model_dump() for chunk in stream for choice in chunk.choices]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello 月亮 world"
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == THOUGHTS
    row = proxy.row(request_id)
    assert row.time_to_first_token is not None
    assert row.time_to_first_visible_token is not None
    assert row.time_to_first_token <= row.time_to_first_visible_token


def test_a_tool_call_is_answered(proxy: Proxy, sdk: openai.OpenAI, request_id: str) -> None:
    """A conversation with a tool works through the proxy, and each of its calls has a row."""
    first = sdk.chat.completions.create(model="mock-tools", messages=MESSAGES, tools=TOOLS)
    (call,) = first.choices[0].message.tool_calls or []
    messages = [*MESSAGES, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = sdk.chat.completions.create(
        model="mock-tools",
        messages=messages,
        tools=TOOLS,
        extra_headers={"X-Request-Id": request_id},
    )
    assert second.choices[0].message.content == "sunny"
    sent = json.loads(proxy.bodies(proxy.row(request_id)).request or b"")
    assert sent["messages"][-1] == {"role": "tool", "tool_call_id": call.id, "content": "sunny"}


def test_other_endpoints_work(proxy: Proxy, sdk: openai.OpenAI) -> None:
    """Models and files are forwarded and stored like completions."""
    assert "mock-echo" in {model.id for model in sdk.models.list()}
    content = bytes(range(256)) * 64
    made = sdk.files.create(file=("a 月.bin", content), purpose="assistants")
    assert sdk.files.content(made.id).read() == content
    (row,) = proxy.rows(1, of={"path": f"/v1/files/{made.id}/content"})
    assert proxy.bodies(row).response == content
    (upload,) = proxy.rows(1, of={"path": "/v1/files", "method": "POST"})
    assert content in (proxy.bodies(upload).request or b"")


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("mock-401", openai.AuthenticationError),
        ("mock-429", openai.RateLimitError),
        ("mock-500", openai.InternalServerError),
        ("mock-reset-early", openai.InternalServerError),
    ],
)
def test_the_sdk_raises_what_it_should(sdk: openai.OpenAI, model: str, error: type[openai.APIStatusError]) -> None:
    """Errors of the API raise the SDK's exceptions, and a dead upstream one with a readable body."""
    with pytest.raises(error) as caught:
        sdk.chat.completions.create(model=model, messages=MESSAGES)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]


def test_an_error_of_the_api_is_a_completed_call(proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """A 429 passes with its headers and body, and the row has the kind of error."""
    answer = client.post(
        "/v1/chat/completions",
        json={"model": "mock-429", "messages": MESSAGES},
        headers={"X-Request-Id": request_id},
    )
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    row = proxy.row(request_id)
    assert (row.state, row.status_code, row.error_kind) == (State.COMPLETED, 429, "engine_overloaded_error")
    assert proxy.bodies(row).response == answer.content


def test_a_gateways_html_passes_untouched(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str
) -> None:
    """The API's own 504 passes as an HTML page: only our errors are JSON."""
    body = {"model": "mock-504-html", "messages": MESSAGES}
    direct = httpx.post(
        f"{mock.url}/v1/chat/completions", json=body, headers={"Authorization": "Bearer k"}, trust_env=False
    )
    answer = client.post("/v1/chat/completions", json=body, headers={"X-Request-Id": request_id})
    assert (answer.status_code, answer.content) == (504, direct.content)
    assert answer.headers["Content-Type"] == direct.headers["Content-Type"]
    row = proxy.row(request_id)
    assert (row.state, row.status_code) == (State.COMPLETED, 504)
    assert proxy.bodies(row).response == direct.content


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/v1/models?limit=2&after=%E6%9C%88&flag", "/v1/models", "limit=2&after=%E6%9C%88&flag"),
        ("/v1/models?", "/v1/models", ""),
        ("/v1/a%20b%2Fc/月".encode().decode("latin-1"), None, ""),
        ("/v1//models/../x;y=1,2@:!$&'()*+", "/v1//models/../x;y=1,2@:!$&'()*+", ""),
        ("/v1/models?q=a?b#c", "/v1/models", "q=a?b#c"),
    ],
)
def test_the_target_is_forwarded_as_it_is(
    mock: MockServer, proxy: Proxy, request_id: str, target: str, path: str | None, query: str
) -> None:
    """Path and query reach upstream byte for byte, whatever characters they contain, and are stored."""
    before = len(mock.log)
    answer = exchange(proxy, f"GET {target} HTTP/1.1", request_id)
    assert answer.startswith(b"HTTP/1.1 ")
    mock.log.wait_for(before + 1)
    served = mock.call_of(request_id)
    assert f"{served.path}?{served.query}".rstrip("?") == target.rstrip("?")
    row = proxy.row(request_id)
    assert row.state is State.COMPLETED
    assert row.query == query
    assert path is None or row.path == path


def exchange(proxy: Proxy, line: str, request_id: str) -> bytes:
    """Send a request verbatim, and return the whole answer."""
    host, port = proxy.url.removeprefix("http://").split(":")
    head = f"{line}\r\nHost: {host}:{port}\r\nAuthorization: Bearer {KEY}\r\nX-Request-Id: {request_id}\r\n"
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall((head + "Connection: close\r\n\r\n").encode("latin-1"))
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_head_has_no_body(proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """HEAD gets only headers, including the length that the body would have."""
    answer = client.head("/v1/models", headers={"X-Request-Id": request_id})
    assert answer.content == b""
    row = proxy.row(request_id)
    assert (row.method, row.state, row.status_code) == ("HEAD", State.COMPLETED, answer.status_code)
    # The connection is still in step.
    assert client.get("/v1/models").json()["object"] == "list"


def test_cookies_reach_the_client_but_not_the_store(proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """A cookie passes to the client, and the store only records that there was one."""
    body = {"model": "mock-cookie", "messages": MESSAGES}
    answer = client.post("/v1/chat/completions", json=body, headers={"X-Request-Id": request_id})
    assert "5e55104c00c1e" in answer.headers["Set-Cookie"]
    assert "Set-Cookie: ***\r\n" in (proxy.row(request_id).response_headers or "") + "\r\n"


@pytest.mark.skipif(not CURL, reason="curl is not installed")
def test_the_first_event_comes_at_once(mock: MockServer, proxy: Proxy, request_id: str) -> None:
    """`curl -N` prints the headers and the first event before the second is sent; its disconnection is noticed."""
    body = json.dumps({"model": "mock-slow", "stream": True, "messages": MESSAGES})
    headers = [f"Authorization: Bearer {KEY}", f"X-Mock-Delay: {NEVER}", f"X-Request-Id: {request_id}"]
    options = [text for header in headers for text in ("-H", header)]
    command = [CURL, "-qsNi", "--noproxy", "*", "-d", body, *options, f"{proxy.url}/v1/chat/completions"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        lines = iter(curl.stdout.readline, b"")
        head = list(iter(lambda: next(lines), b"\r\n"))
        event = [next(lines), next(lines)]
        curl.send_signal(signal.SIGKILL)
    assert head[0].startswith(b"HTTP/1.1 200")
    assert b"text/event-stream; charset=utf-8" in b"".join(head)
    assert event[0].startswith(b"data: {")
    assert event[1] == b"\n"
    row = proxy.row(request_id)
    assert row.state is State.CLIENT_DISCONNECTED
    assert proxy.bodies(row).event_stream == b"".join(event)
    served = mock.call_of(request_id)
    assert (served.sent_events, served.cut_off) == (1, True)


def test_the_log_has_the_documents_lines(launch: Launcher, mock: MockServer) -> None:
    """The log goes to standard error, with the address first, then each call's id, tokens and row."""
    with launch.start(endpoint=mock.url) as proxy, proxy.client() as client:
        answer = client.post("/v1/chat/completions", json={"model": "mock-echo", "messages": MESSAGES})
        proxy.log.wait_for(r"New Row Inserted: last_insert_id=1\n")
        said = proxy.log.text
    assert "MoonPalace Starts" in said.splitlines()[0]
    assert f"- id:                {answer.json()['id']}\n" in said
    assert f"- Msh-Request-Id: {answer.headers['Msh-Request-Id']}\n" in said
    assert f"- total_tokens:      {answer.json()['usage']['total_tokens']}\n" in said
    assert "POST   /v1/chat/completions 200 OK" in said
    assert all(line.startswith("[MoonPalace] ") for line in said.splitlines())

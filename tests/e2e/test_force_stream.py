"""`--force-stream` over real sockets: upstream streams, and the client gets the same answer as without it."""

import asyncio
import gzip
import json
from collections.abc import Iterator

import httpx
import openai
import pytest

from moonpalace_addons.store.tasks import State
from moonpalace_cli.mock.scenarios import Times
from tests.authorities import NO_AUTHORITIES
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.all_scenarios import scenarios
from tests.scenarios.server import MockServer

KEY = "sk-e2e-client-0123456789"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello 月亮 world 🌙"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "tide")
]
JSON_TYPE = "application/json; charset=utf-8"
CHANGE = "body: stream and stream_options.include_usage set to true"
PATIENCE = 60.0

# What differs with a forced stream by its nature, and why.
EXCEPTIONS = {
    "mock-cut": "an answer that is cut is a 502 while it is one JSON document, and a broken transfer as a stream",
    "mock-reset": "as mock-cut",
    "mock-reset-early": "the SDK gets our 502 instead of a closed connection",
    "mock-stall": "never ends",
    "mock-zstd": "the SDK cannot decode zstd; a forced stream comes decoded",
    "mock-error-in-stream": "content is out when the error comes: a broken transfer; without streaming it is a 500",
}
ALIKE = [name for name in scenarios(Times()) if name not in EXCEPTIONS]


@pytest.fixture(scope="module")
def proxy(launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide an `mpal start --force-stream` before the mock, shared by the tests of this module."""
    with launch.start("--force-stream", "--heartbeat", "0.1", endpoint=mock.url) as running:
        yield running


def request_body(model: str, **more: object) -> dict[str, object]:
    """Return a request."""
    return {"model": model, "messages": MESSAGES, "tools": TOOLS, **more}


@pytest.fixture(scope="module")
def sdks(mock: MockServer, proxy: Proxy) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    """Provide a client through the proxy and one of the mock: creating one takes longer than many calls."""

    def sdk(url: str) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(verify=NO_AUTHORITIES)
        return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE, http_client=http)

    with sdk(proxy.url) as through, sdk(mock.url) as direct:
        yield through, direct


def parsed(sdk: openai.OpenAI, body: dict[str, object]) -> object:
    """Return the SDK's result: the completion's fields, the body as text, or the error it raises."""
    try:
        answer: object = sdk.chat.completions.create(**body)
    except openai.APIStatusError as error:
        return type(error), error.status_code, error.body, error.response.headers.get("retry-after")
    return answer.model_dump() if isinstance(answer, openai.BaseModel) else answer


@pytest.mark.parametrize("name", ALIKE)
def test_the_sdk_gets_the_same(sdks: tuple[openai.OpenAI, openai.OpenAI], name: str) -> None:
    """The SDK's result equals that of the mock's own non-streaming answer, for errors too."""
    through, direct = sdks
    for more in ({}, {"n": 2}, {"max_tokens": 5, "stream": False}, {"stream": None}):
        body = request_body(name, **more)
        assert parsed(through, body) == parsed(direct, body), more


@pytest.mark.parametrize("name", ["mock-echo", "mock-tools", "mock-two-choices", "mock-logprobs", "mock-refusal"])
def test_the_json_is_the_same(mock: MockServer, proxy: Proxy, client: httpx.Client, name: str) -> None:
    """All of the JSON is the same, including what the SDK does not know."""
    through = client.post(CHAT, json=request_body(name))
    assert through.json() == client.post(f"{mock.url}{CHAT}", json=request_body(name)).json()
    assert through.headers["content-type"] == JSON_TYPE


def test_the_sdk_gets_what_it_cannot_decode(sdks: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    """A stream in an encoding that the SDK does not support arrives decoded."""
    found, expected = (parsed(sdks[0], request_body(name)) for name in ("mock-zstd", "mock-gzip"))
    assert isinstance(found, dict)
    assert isinstance(expected, dict)
    assert found["choices"] == expected["choices"]


USAGE = b'"stream_options":{"include_usage":true}'
HELLO = b'"messages":[{"role":"user","content":"Hello"}]'


@pytest.mark.parametrize(
    ("body", "upstream"),
    [
        pytest.param(
            b'{"model":"mock-echo",' + HELLO + b"}",
            b'{"model":"mock-echo",' + HELLO + b"," + USAGE + b',"stream":true}',
            id="as an SDK writes it",
        ),
        pytest.param(
            b'\r\n{ "stream" :\tfalse , "model":"mock-echo",' + HELLO + b" }\n",
            b'\r\n{ "stream" :\ttrue , "model":"mock-echo",' + HELLO + b"," + USAGE + b" }\n",
            id="stream false, white space",
        ),
        pytest.param(
            b'{"temperature":1.50,"seed":12345678901234567890123,"top_p":1E-2,' + HELLO + b',"x":"\\u00e9\\/","x":2}',
            b'{"temperature":1.50,"seed":12345678901234567890123,"top_p":1E-2,'
            + HELLO
            + b',"x":"\\u00e9\\/","x":2,'
            + USAGE
            + b',"stream":true}',
            id="numbers, escapes, duplicate keys",
        ),
        pytest.param(
            b'{"stream":false,"stream":false,"stream_options":null,' + HELLO + b"}",
            b'{"stream":true,"stream":true,"stream_options":{"include_usage":true},' + HELLO + b"}",
            id="stream twice, options null",
        ),
        pytest.param(
            b'{"stream_options":{"include_usage":false,"other":[1, 2]},' + HELLO + b"}",
            b'{"stream_options":{"include_usage":true,"other":[1, 2]},' + HELLO + b',"stream":true}',
            id="other options",
        ),
        pytest.param(
            b'{"metadata":{"stream":false,"s":"\\"stream\\":false"},' + HELLO + b"}",
            b'{"metadata":{"stream":false,"s":"\\"stream\\":false"},' + HELLO + b"," + USAGE + b',"stream":true}',
            id="the same words elsewhere",
        ),
    ],
)
def test_only_two_fields_of_the_request_change(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str, body: bytes, upstream: bytes
) -> None:
    """Upstream gets the client's bytes with two fields changed; the store has the client's, and lists the changes."""
    parts: tuple[bytes | Iterator[bytes], ...] = (body, iter([body[:20], body[20:]]))
    for number, content in enumerate(parts):
        headers = {"Content-Type": "application/json", "X-Request-Id": f"{request_id}-{number}"}
        answer = client.post(CHAT, content=content, headers=headers)
        assert answer.json()["choices"][0]["message"]["content"] == "Hello"
        assert mock.call_of(f"{request_id}-{number}").body == upstream
        row = proxy.row(f"{request_id}-{number}")
        assert proxy.bodies(row).request == body
        assert (row.is_coerced, row.changes) == (True, (CHANGE,))


def untouched() -> dict[str, tuple[str, str, bytes, dict[str, str]]]:
    """Return calls that are not plain chat completions: method, path, body and headers."""
    kind = {"Content-Type": "application/json"}
    plain = json.dumps(request_body("mock-echo")).encode()
    return {
        "a stream": ("POST", CHAT, json.dumps(request_body("mock-comments", stream=True)).encode(), kind),
        "a stream with usage": (
            "POST",
            CHAT,
            json.dumps(request_body("mock-crlf", stream=True, stream_options={"include_usage": True})).encode(),
            kind,
        ),
        "stream no boolean": ("POST", CHAT, json.dumps(request_body("mock-echo", stream="no")).encode(), kind),
        "options no object": ("POST", CHAT, json.dumps(request_body("mock-echo", stream_options=[1])).encode(), kind),
        "invalid JSON": ("POST", CHAT, plain[:-1], kind),
        "not UTF-8": ("POST", CHAT, plain.replace(b"Hello", b"\xff\xfe"), kind),
        "no object": ("POST", CHAT, b"[1]", kind),
        "an empty body": ("POST", CHAT, b"", kind),
        "gzip": ("POST", CHAT, gzip.compress(plain), kind | {"Content-Encoding": "gzip"}),
        "another type": ("POST", CHAT, plain, {"Content-Type": "text/plain"}),
        "HEAD": ("HEAD", CHAT, b"", {}),
        "HEAD with a body": ("HEAD", CHAT, plain, kind),
        "another endpoint": ("POST", "/v1/tokenizers/estimate-token-count", plain, kind),
        "a GET": ("GET", "/v1/models", b"", {}),
    }


@pytest.mark.parametrize("which", untouched())
def test_all_else_passes_untouched(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str, which: str
) -> None:
    """Upstream gets the client's bytes, and the client the bytes and headers of upstream."""
    method, path, body, headers = untouched()[which]
    found = []
    for number, url in enumerate((mock.url, "")):
        named = headers | {"X-Request-Id": f"{request_id}-{number}"}
        with client.stream(method, f"{url}{path}", content=body, headers=named) as answer:
            raw = b"".join(answer.iter_raw())
        kept = sorted((name, value) for name, value in answer.headers.items() if name not in ("date", "connection"))
        found.append((answer.status_code, kept, raw))
        assert mock.call_of(f"{request_id}-{number}").body == body
    assert found[0] == found[1]
    row = proxy.row(f"{request_id}-1")
    assert (row.state, row.is_coerced, row.changes) == (State.COMPLETED, False, ())


@pytest.mark.engine
def test_headers_and_heartbeats_come_at_once(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str
) -> None:
    """While upstream is silent the client gets headers and blanks; if it disconnects, upstream is disconnected."""
    headers = {"X-Mock-Delay": "3600", "X-Request-Id": request_id}
    with client.stream("POST", CHAT, json=request_body("mock-slow"), headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, JSON_TYPE)
        pieces = answer.iter_raw()
        beats = b"".join(next(pieces) for _ in range(3))
        assert len(beats) >= 3
        assert beats.isspace()
    row = proxy.row(request_id)
    assert (row.state, row.is_coerced) == (State.CLIENT_DISCONNECTED, True)
    assert (mock.call_of(request_id).sent_events, mock.call_of(request_id).cut_off) == (1, True)


@pytest.mark.engine
def test_the_completion_follows_the_last_event(mock: MockServer, client: httpx.Client, request_id: str) -> None:
    """Only blanks are sent before the last event; then the whole answer follows, and the transfer ends."""
    headers = {"X-Mock-Delay": "0.3", "X-Request-Id": request_id}
    with client.stream("POST", CHAT, json=request_body("mock-slow"), headers=headers) as answer:
        pieces = list(answer.iter_raw())
    whole = b"".join(pieces)
    blanks = len(whole) - len(whole.lstrip())
    assert blanks >= 3
    assert json.loads(whole) == client.post(f"{mock.url}{CHAT}", json=request_body("mock-slow")).json()
    assert all(piece.isspace() for piece in pieces[:blanks])


@pytest.mark.parametrize("name", ["mock-400", "mock-401", "mock-429", "mock-429-rate", "mock-500", "mock-504-html"])
def test_errors_of_the_api_pass_as_they_are(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str, name: str
) -> None:
    """Status, headers and bytes of an error are upstream's, also of HTML pages."""
    body = request_body(name)
    direct = client.post(f"{mock.url}{CHAT}", json=body)
    through = client.post(CHAT, json=body, headers={"X-Request-Id": request_id})
    assert through.status_code == direct.status_code >= 400
    assert through.content == direct.content
    for header in ("content-type", "content-length", "retry-after", "msh-request-id", "transfer-encoding"):
        assert through.headers.get(header) == direct.headers.get(header)
    row = proxy.row(request_id)
    assert (row.state, row.status_code, row.is_coerced) == (State.COMPLETED, direct.status_code, True)
    assert proxy.bodies(row).response == direct.content


def test_an_answer_that_is_no_stream_passes_as_it_is(mock: MockServer, client: httpx.Client) -> None:
    """An HTML page with status 200 reaches the client unchanged."""
    direct = client.post(f"{mock.url}{CHAT}", json=request_body("mock-html"))
    through = client.post(CHAT, json=request_body("mock-html"))
    assert (through.status_code, through.content) == (200, direct.content)
    assert through.headers["content-type"] == "text/html; charset=utf-8"


def read_until_broken(client: httpx.Client, body: object, headers: dict[str, str]) -> bytes:
    """Return what was read of an answer whose transfer must break off; none of it may be JSON."""
    got: list[bytes] = []
    with client.stream("POST", CHAT, json=body, headers=headers) as answer:
        assert answer.status_code == 200
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            got.extend(answer.iter_raw())
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(b"".join(got))
    return b"".join(got)


@pytest.mark.parametrize("name", ["mock-cut", "mock-reset"])
def test_a_broken_stream_is_a_broken_transfer(proxy: Proxy, client: httpx.Client, request_id: str, name: str) -> None:
    """A truncated stream reaches the client as something that never parses; the row has what was received."""
    read_until_broken(client, request_body(name), {"X-Request-Id": request_id})
    row = proxy.row(request_id)
    assert (row.state, row.is_coerced, row.status_code) == (State.UPSTREAM_FAILED, True, 200)
    events = proxy.bodies(row).event_stream or b""
    assert 1 <= events.count(b"data: ") <= 3
    message = json.loads(proxy.bodies(row).response or b"")["choices"][0]
    assert message["finish_reason"] is None


def test_an_upstream_that_closes_early_is_a_502(proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """Before the first byte of an answer the error can still be a status."""
    answer = client.post(CHAT, json=request_body("mock-reset-early"), headers={"X-Request-Id": request_id})
    assert answer.status_code == 502
    assert answer.json()["error"]["message"]
    row = proxy.row(request_id)
    assert (row.state, row.is_coerced) == (State.UPSTREAM_FAILED, True)


def test_an_error_in_the_stream_is_a_broken_transfer(proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """What precedes an error object in a stream is not an answer; the row has it, and the error."""
    read_until_broken(client, request_body("mock-error-in-stream"), {"X-Request-Id": request_id})
    row = proxy.row(request_id)
    assert (row.state, row.error_kind, row.finish_reason) == (State.UPSTREAM_FAILED, "server_error", None)
    assert row.error_message
    answer = json.loads(proxy.bodies(row).response or b"")
    assert answer["error"]["type"] == "server_error"
    assert answer["choices"][0]["message"]["content"]


def test_the_row_of_a_forced_stream(mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """The row has the raw events, the completion that the client got, the tokens and the times of the stream."""
    headers = {"X-Mock-Delay": "0.05", "X-Request-Id": request_id}
    answer = client.post(CHAT, json=request_body("mock-reasoning"), headers=headers)
    as_stream = request_body("mock-reasoning", stream=True, stream_options={"include_usage": True})
    direct = client.post(f"{mock.url}{CHAT}", json=as_stream, headers={"X-Mock-Delay": "0"})
    row = proxy.row(request_id)
    bodies = proxy.bodies(row)
    assert bodies.event_stream == direct.content
    assert json.loads(bodies.response or b"") == answer.json()
    assert json.loads(bodies.request or b"") == request_body("mock-reasoning")
    assert (row.state, row.is_stream, row.is_coerced, row.changes) == (State.COMPLETED, True, True, (CHANGE,))
    assert (row.response_bytes, row.response_content_type) == (len(direct.content), "text/event-stream")
    assert (row.finish_reason, row.chatcmpl_id) == ("stop", answer.json()["id"])
    usage = answer.json()["usage"]
    assert (row.prompt_tokens, row.completion_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert row.reasoning_tokens == usage["completion_tokens_details"]["reasoning_tokens"]
    times = (row.time_to_headers, row.time_to_first_token, row.time_to_first_visible_token, row.latency)
    assert None not in times
    assert list(times) == sorted(time or 0 for time in times)
    assert (row.time_to_first_visible_token or 0) - (row.time_to_first_token or 0) > 0.05e9
    assert row.time_per_output_token
    assert row.output_tokens_per_second
    assert row.longest_stall
    assert row.gap_p50 is not None
    assert row.gap_p99 is not None
    assert row.gap_p50 <= row.gap_p99 <= row.longest_stall


@pytest.mark.parametrize(("name", "word"), [("mock-length", "max_tokens"), ("mock-reasoning-length", "reasoning")])
def test_a_truncated_answer_gets_its_warning(
    proxy: Proxy, client: httpx.Client, request_id: str, name: str, word: str
) -> None:
    """The warning suggests a remedy, as for any call without streaming."""
    client.post(CHAT, json=request_body(name), headers={"X-Request-Id": request_id})
    row = proxy.row(request_id)
    assert row.finish_reason == "length"
    assert [warning for warning in row.warnings if word in warning]


def test_many_at_once_are_not_mixed_up(proxy: Proxy) -> None:
    """Fifty concurrent forced streams, some compressed, each get their own answer."""

    async def ask(client: httpx.AsyncClient, number: int) -> str:
        model = ("mock-echo", "mock-gzip", "mock-crlf", "mock-split")[number % 4]
        body = {"model": model, "messages": [{"role": "user", "content": f"call {number}"}]}
        # What comes byte by byte takes long enough without pauses.
        answer = await client.post(CHAT, json=body, headers={"X-Mock-Delay": "0" if number % 4 == 3 else "0.01"})
        found = answer.json()
        assert found["model"] == model
        return str(found["choices"][0]["message"]["content"])

    async def ask_all() -> list[str]:
        async with httpx.AsyncClient(
            base_url=proxy.url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=PATIENCE,
            trust_env=False,
            verify=False,
        ) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(50)))

    for number, text in enumerate(asyncio.run(ask_all())):
        assert text == f"call {number}" or number % 4 == 3


@pytest.mark.engine
def test_an_upstream_that_stalls_is_given_up(launch: Launcher, mock: MockServer) -> None:
    """Heartbeats do not extend the idle timeout for upstream, which breaks the transfer off."""
    options = ("--force-stream", "--heartbeat", "0.1", "--idle-timeout", "1")
    with launch.start(*options, endpoint=mock.url) as proxy:
        with proxy.client() as client:
            got = read_until_broken(client, request_body("mock-stall"), {"X-Request-Id": "stall"})
        row = proxy.row("stall")
    assert len(got) >= 3
    assert got.isspace()
    assert (row.state, row.error_kind, row.is_coerced) == (State.TIMED_OUT, "upstream_timeout", True)
    assert "idle-timeout" in (row.error_message or "")
    assert mock.call_of("stall").cut_off

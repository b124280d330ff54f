"""The bundle in a `mitmdump` process: the same calls and rows, and mitmproxy's own options take effect."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

KEY = "sk-e2e-client-0123456789"
CHAT = "/v1/chat/completions"
BODY = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello 月亮 world"}]}
LISTENING = r"HTTP\(S\) proxy.* listening at \S*?:(\d+)\."
CLOSED = "http://127.0.0.1:1"


@pytest.fixture(scope="module", params=["engine", "mode"])
def dump(request: pytest.FixtureRequest, launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide a `mitmdump` with the bundle before the mock: on our engine, and with an explicit mode."""
    mode = () if request.param == "engine" else ("--mode", f"reverse:{mock.url}")
    with launch.mitmproxy("mitmdump", "-p", "0", *mode, extra={"MOONPALACE_ENDPOINT": mock.url}) as running:
        yield running


@pytest.mark.parametrize("model", ["mock-echo", "mock-tools", "mock-reasoning", "mock-two-choices"])
def test_the_sdk_works(dump: Proxy, request_id: str, model: str) -> None:
    """Plain calls and streams of the SDK become completed rows with the same values."""
    ids = {stream: f"{request_id}-{stream}" for stream in (False, True)}
    with openai.OpenAI(base_url=f"{dump.url}/v1", api_key=KEY, max_retries=0) as sdk:
        ask = sdk.chat.completions.create
        plain = ask(
            model=model, messages=[{"role": "user", "content": "Hello"}], extra_headers={"X-Request-Id": ids[False]}
        )
        chunks = list(
            ask(
                model=model,
                messages=[{"role": "user", "content": "Hello"}],
                stream=True,
                extra_headers={"X-Request-Id": ids[True]},
            )
        )
    first, second = dump.row(ids[False]), dump.row(ids[True])
    assert (first.state, second.state) == (State.COMPLETED, State.COMPLETED)
    assert (first.chatcmpl_id, second.chatcmpl_id) == (plain.id, chunks[0].id)
    assert first.total_tokens == second.total_tokens
    assert first.finish_reason == second.finish_reason == plain.choices[0].finish_reason
    assert (first.is_stream, second.is_stream) == (False, True)


@pytest.mark.parametrize("model", ["mock-gzip", "mock-br", "mock-crlf", "mock-comments", "mock-until-close"])
@pytest.mark.parametrize("stream", [False, True])
def test_bytes_pass_as_they_are(mock: MockServer, dump: Proxy, request_id: str, model: str, stream: bool) -> None:
    """The bytes on the wire are those of a direct call, and the store has them decoded."""
    body = {**BODY, "model": model, "stream": stream}
    headers = {"Authorization": f"Bearer {KEY}", "X-Request-Id": request_id}
    raw = []
    for url in (mock.url, dump.url):
        with dump.client(base_url=url) as client, client.stream("POST", CHAT, json=body, headers=headers) as answer:
            raw.append(b"".join(answer.iter_raw()))
    assert raw[0] == raw[1]
    row = dump.row(request_id)
    decoded = httpx.Response(200, headers=answer.headers, content=raw[1]).content
    bodies = dump.bodies(row)
    assert (bodies.event_stream if stream else bodies.response) == decoded
    assert json.loads(bodies.request or b"") == body


def test_the_first_event_comes_at_once(mock: MockServer, dump: Proxy, request_id: str) -> None:
    """The first event arrives before the second is sent; a client's disconnection is noticed."""
    headers = {"X-Mock-Delay": "3600", "X-Request-Id": request_id}
    body = {**BODY, "model": "mock-slow", "stream": True}
    with dump.client() as client, client.stream("POST", CHAT, json=body, headers=headers) as answer:
        got = next(answer.iter_raw())
    assert got.startswith(b"data: {")
    row = dump.row(request_id)
    assert row.state is State.CLIENT_DISCONNECTED
    assert dump.bodies(row).event_stream == got
    (served,) = mock.calls_of(request_id)
    assert (served.sent_events, served.cut_off) == (1, True)


@pytest.mark.parametrize("model", ["mock-reset-early", "mock-cut", "mock-reset"])
def test_failures_are_json(dump: Proxy, request_id: str, model: str) -> None:
    """A failure of upstream is a 502 in the API's format here too, never mitmproxy's page."""
    with dump.client() as client:
        answer = client.post(CHAT, json={**BODY, "model": model}, headers={"X-Request-Id": request_id})
    assert answer.status_code == 502
    assert answer.json()["error"]["message"]
    assert dump.row(request_id).state is State.UPSTREAM_FAILED


def test_a_closed_port_is_a_502(launch: Launcher) -> None:
    """Without an upstream the client gets JSON; settings are read from mitmproxy's options too."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
        with launch.mitmproxy("mitmdump", "-p", "0", "--set", f"moonpalace_endpoint={endpoint}") as dump:
            with dump.client() as client:
                answer = client.post(CHAT, json=BODY)
            (row,) = dump.rows(1)
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "upstream_refused"
    assert (row.state, row.error_kind) == (State.UPSTREAM_FAILED, "upstream_refused")


def test_the_port_is_the_settings_without_p(launch: Launcher, mock: MockServer) -> None:
    """Without `-p` the port is the setting's, on 127.0.0.1 only; a key works as in `mpal start`."""
    key = "sk-owners-Key-0123456789"
    environment = {"MOONPALACE_ENDPOINT": mock.url, "MOONPALACE_PORT": "0", "MOONPALACE_KEY": key}
    # mitmproxy itself opens a port before any script runs, 8080 unless it is told another.
    with launch.mitmproxy("mitmdump", "--listen-port", "0", extra=environment) as dump:
        with dump.client(headers={"X-Request-Id": "keyed"}) as client:
            assert client.get("/v1/models").status_code == 200
            assert client.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 403
        dump.row("keyed")
        assert key not in dump.log.text
    (served,) = mock.calls_of("keyed")
    assert served.headers["Authorization"] == f"Bearer {key}"


def test_a_mode_of_ones_own_wins(launch: Launcher, mock: MockServer) -> None:
    """An explicit reverse mode is kept: its target is called, announced and stored as the endpoint."""
    arguments = ("--mode", f"reverse:{mock.url}", "-p", "0")
    with launch.mitmproxy("mitmdump", *arguments, extra={"MOONPALACE_ENDPOINT": CLOSED}) as dump:
        with dump.client() as client:
            assert client.post(CHAT, json=BODY).status_code == 200
        (row,) = dump.rows(1)
    assert (row.state, row.endpoint) == (State.COMPLETED, mock.url)


def test_a_forward_proxy_captures_the_endpoint_alone(launch: Launcher, mock: MockServer) -> None:
    """In forward mode all calls pass, those to the endpoint's host are stored, and no base_url is announced."""
    arguments = ("--mode", "regular@0")
    with (
        MockServer() as other,
        launch.mitmproxy("mitmdump", *arguments, announced=LISTENING, extra={"MOONPALACE_ENDPOINT": mock.url}) as dump,
    ):
        proxy = f"http://127.0.0.1:{dump.url}"
        with dump.client(proxy=proxy, base_url="") as client:
            captured = client.post(f"{mock.url}{CHAT}", json=BODY)
            passed = client.post(f"{other.url}{CHAT}", json=BODY)
            streamed = client.post(f"{mock.url}{CHAT}", json={**BODY, "stream": True})
        assert (captured.status_code, passed.status_code, streamed.status_code) == (200, 200, 200)
        rows = dump.rows(2)
        assert [row.state for row in rows] == [State.COMPLETED, State.COMPLETED]
        assert [row.is_stream for row in rows] == [False, True]
        assert {row.endpoint for row in rows} == {mock.url}
        assert dump.bodies(rows[0]).response == captured.content
        assert "base_url" not in dump.log.text
    assert len(other.log) == 1


def test_what_has_ended_is_stored_at_the_end(launch: Launcher, mock: MockServer) -> None:
    """SIGTERM directly after the last answer loses nothing."""
    with launch.mitmproxy("mitmdump", "-p", "0", extra={"MOONPALACE_ENDPOINT": mock.url}) as dump:
        with dump.client() as client:
            for _ in range(50):
                client.post(CHAT, json=BODY)
        dump.stop()
        states = [row.state for row in exchanges.latest(dump.engine, limit=100)]
    assert states == [State.COMPLETED] * 50


@pytest.mark.parametrize(
    ("arguments", "extra", "word"),
    [
        (("--set", "moonpalace_port=many"), {}, "moonpalace_port"),
        (("--set", "moonpalace_key=sk-0123456789abcdef"), {}, "MOONPALACE_KEY"),
        ((), {"MOONPALACE_PROT": "1"}, "MOONPALACE_PORT"),
        ((), {"MOONPALACE_KEY": "sk-0123456789abcdef", "MOONPALACE_HOST": "0.0.0.0"}, "token"),
        ((), {"MOONPALACE_DATABASE": str(Path(__file__))}, "test_mitmdump.py"),
    ],
)
def test_a_bad_setting_ends_it(launch: Launcher, arguments: tuple[str, ...], extra: dict[str, str], word: str) -> None:
    """The error is one line; mitmdump does not continue without the bundle."""
    ended = launch.run_mitmdump("-p", "0", *arguments, extra=extra)
    output = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 1, output
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if "Error: " in line]
    assert word in line
    assert "sk-0123456789abcdef" not in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen-host", "0.0.0.0", "-p", "0"),
        ("--mode", f"reverse:{CLOSED}@0.0.0.0:0"),
        ("--mode", "regular@0"),
    ],
)
def test_a_key_is_not_offered_to_strangers(launch: Launcher, arguments: tuple[str, ...]) -> None:
    """If mitmproxy's options let other machines use a key without a token, it exits with a one-line error."""
    key = "sk-owners-Key-0123456789"
    ended = launch.run_mitmdump(*arguments, extra={"MOONPALACE_KEY": key})
    output = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 1, output
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if "Error: " in line]
    assert "MOONPALACE_TOKEN" in line
    assert "base_url" not in output
    assert key not in output


def test_a_port_in_use_ends_it(launch: Launcher) -> None:
    """A port in use is reported without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        ended = launch.run_mitmdump("--listen-host", "127.0.0.1", "-p", str(held.getsockname()[1]))
    output = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 1
    assert "address already in use" in output
    assert "Traceback" not in output
    assert "base_url" not in output

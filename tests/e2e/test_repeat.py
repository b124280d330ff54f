"""`--detect-repeat` over real sockets: a model that loops is stopped, and its client gets a clean end."""

import ast
import json
import queue
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import httpx
import openai
import pytest

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire import sse
from moonpalace_cli.mock.scripts import LOOP
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.scenarios.spelling import Encoding, OddSpelling
from tests.socket_server import SocketServer, read_request

KEY = "sk-e2e-client-0123456789"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Go on"}]
PATIENCE = 60.0
WARNING = "it appears that there is an issue with content repeating in the current response"
CHANNELS = {
    "mock-repeat": "content",
    "mock-repeat-reasoning": "reasoning_content",
    "mock-repeat-tools": "tool_calls.0.function.arguments",
}

type Fields = dict[str, Any]


@dataclass(frozen=True)
class Guarded:
    """A proxy that detects loops, before a mock."""

    mock: MockServer
    proxy: Proxy

    def assert_stopped(self, request_id: str, model: str) -> Exchange:
        """Check that upstream was disconnected early, and that the row and the log say so."""
        served = self.mock.call_of(request_id)
        assert served.cut_off
        assert served.sent_events < served.total_events / 3
        row = self.proxy.row(request_id)
        assert (row.state, row.error_kind, row.finish_reason) == (State.REPEAT_INTERRUPTED, "repeat", "repeat")
        message = row.error_message or ""
        assert message.startswith(f"choice 0, {CHANNELS[model]}: a loop (the same {len(LOOP)} char")
        position = re.search(r"found after (\d+) characters: ", message)
        assert position
        assert 100 < int(position[1]) < 10 * len(LOOP)
        sample = ast.literal_eval(message[position.end() :])
        assert sample in LOOP * 2
        assert len(sample) == len(LOOP)
        assert WARNING in row.warnings
        self.proxy.log.wait_for(re.escape(WARNING))
        return row


@pytest.fixture(scope="module", params=["http", "https"])
def guarded(request: pytest.FixtureRequest, launch: Launcher) -> Iterator[Guarded]:
    """Provide a proxy that detects loops, once before a plain and once before a TLS upstream."""
    with MockServer(tls=request.param == "https") as mock:
        trust = ("--upstream-ca", mock.ca_file) if mock.ca_file else ()
        with launch.start("--detect-repeat", *trust, endpoint=mock.url) as proxy:
            yield Guarded(mock, proxy)


def chat_body(model: str, **more: object) -> Fields:
    """Return a request for a stream."""
    return {"model": model, "messages": MESSAGES, "stream": True, **more}


def chunks_of(body: bytes) -> list[Fields]:
    """Return the chunks of a stream, which must end with [DONE]."""
    assert body.endswith(b"\n\n")
    events = body[:-2].split(b"\n\n")
    assert all(event.startswith(b"data: ") for event in events)
    *chunks, done = (event.removeprefix(b"data: ") for event in events)
    assert done == b"[DONE]"
    return [cast(Fields, json.loads(chunk)) for chunk in chunks]


def assert_ends_well(chunks: list[Fields]) -> None:
    """Check that only the last chunk has a reason, and that its format is that of the others."""
    first, *_, last = chunks
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "repeat"}]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])
    top = ("id", "object", "created", "model")
    assert {name: last[name] for name in top} == {name: first[name] for name in top}


@pytest.mark.parametrize("model", CHANNELS)
def test_the_sdk(guarded: Guarded, request_id: str, model: str) -> None:
    """The SDK gets a reason and a clean end; its next calls, possibly on the same connection, work."""
    headers = {"X-Request-Id": request_id}
    with openai.OpenAI(base_url=f"{guarded.proxy.url}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE) as sdk:
        chunks = list(
            cast("openai.Stream[Any]", sdk.chat.completions.create(**chat_body(model), extra_headers=headers))
        )
        plain = sdk.chat.completions.create(model="mock-reasoning", messages=[{"role": "user", "content": "Hello"}])
        assert plain.choices[0].message.content == "Hello"
        again = cast("openai.Stream[Any]", sdk.chat.completions.create(**chat_body("mock-reasoning")))
        assert list(again)[-1].choices[0].finish_reason == "stop"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["repeat"]
    guarded.assert_stopped(request_id, model)


@pytest.mark.parametrize("model", CHANNELS)
def test_httpx_reads_to_the_end_of_the_transfer(guarded: Guarded, request_id: str, model: str) -> None:
    """The transfer ends cleanly after [DONE], the bytes before it are upstream's, and the connection stays usable."""
    headers = {"X-Request-Id": request_id}
    with guarded.proxy.client() as client:
        answer = client.post(CHAT, json=chat_body(model), headers=headers)
        assert client.post(CHAT, json=chat_body("mock-echo")).content.endswith(b"data: [DONE]\n\n")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert_ends_well(chunks_of(answer.content))
    row = guarded.assert_stopped(request_id, model)
    kept = guarded.proxy.bodies(row).event_stream or b""
    sent = answer.content[: answer.content.rindex(b"data: {")]
    assert kept.startswith(sent)
    merged = json.loads(guarded.proxy.bodies(row).response or b"")
    assert [choice["finish_reason"] for choice in merged["choices"]] == ["repeat"]


@pytest.mark.parametrize("model", CHANNELS)
@pytest.mark.parametrize("options", [(), ("--http1.0",)])
def test_curl(guarded: Guarded, request_id: str, model: str, options: tuple[str, ...]) -> None:
    """Curl reports no transfer error, nor does an old version without support for chunks."""
    headers = ("Authorization: Bearer " + KEY, "Content-Type: application/json", f"X-Request-Id: {request_id}")
    command = ["curl", "-sS", "-N", "--noproxy", "*", "--max-time", "60", *options]
    command += [part for header in headers for part in ("-H", header)]
    command += ["-d", json.dumps(chat_body(model)), f"{guarded.proxy.url}{CHAT}"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert_ends_well(chunks_of(done.stdout))
    guarded.assert_stopped(request_id, model)


@pytest.mark.parametrize("model", CHANNELS)
def test_one_after_another(guarded: Guarded, model: str) -> None:
    """Successive loops on one connection are all stopped, each with a clean end."""
    with guarded.proxy.client() as client:
        for _ in range(5):
            assert_ends_well(chunks_of(client.post(CHAT, json=chat_body(model)).content))


@pytest.mark.parametrize("name", ["content", "reasoning_content"])
def test_each_choice_is_ended(guarded: Guarded, request_id: str, name: str) -> None:
    """If one of two choices loops, both are ended, each with its own chunk."""
    model = {value: key for key, value in CHANNELS.items()}[name]
    with guarded.proxy.client() as client:
        answer = client.post(CHAT, json=chat_body(model, n=2), headers={"X-Request-Id": request_id})
    chunks = chunks_of(answer.content)
    assert [chunk["choices"] for chunk in chunks[-2:]] == [
        [{"index": index, "delta": {}, "finish_reason": "repeat"}] for index in (0, 1)
    ]
    guarded.assert_stopped(request_id, model)


def test_answers_that_do_not_loop_pass(guarded: Guarded) -> None:
    """Streams without a loop pass byte for byte, whatever their spelling."""
    models = ("mock-echo", "mock-reasoning", "mock-tools-noindex", "mock-two-choices", "mock-many", "mock-emoji-cjk")
    spelled = ("mock-comments", "mock-cr", "mock-crlf", "mock-split", "mock-unterminated", "mock-error-in-stream")
    with guarded.proxy.client() as client:
        for model in (*models, *spelled, "mock-gzip", "mock-zstd", "mock-until-close"):
            direct = httpx.post(
                f"{guarded.mock.url}{CHAT}",
                json=chat_body(model),
                headers={"Authorization": f"Bearer {KEY}"},
                verify=False,
                trust_env=False,
            )
            assert client.post(CHAT, json=chat_body(model)).content == direct.content, model


def test_answers_without_streaming_pass(guarded: Guarded, request_id: str) -> None:
    """As documented, only streams are interrupted."""
    body = {**chat_body("mock-repeat"), "stream": False}
    headers = {"X-Request-Id": request_id, "X-Mock-Delay": "0"}
    with guarded.proxy.client() as client:
        answer = client.post(CHAT, json=body, headers=headers).json()
    assert answer["choices"][0]["message"]["content"] == LOOP * 300
    assert guarded.proxy.row(request_id).state is State.COMPLETED


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    """Provide a mock with the pauses of a model: without any, everything is sent before it can be stopped."""
    with MockServer() as server:
        yield server


@pytest.mark.parametrize("flags", [(), ("--detect-repeat",)])
def test_forced_streams(launch: Launcher, mock: MockServer, flags: tuple[str, ...]) -> None:
    """A forced stream that loops becomes an answer with the reason repeat; without detection it is not stopped."""
    with launch.start("--force-stream", *flags, endpoint=mock.url) as proxy, proxy.client() as client:
        quick = {} if flags else {"X-Mock-Delay": "0"}
        for model in CHANNELS:
            request_id = f"forced-{len(flags)}-{model}"
            headers = {"X-Request-Id": request_id, "X-Mock-Events": "100"} | quick
            answer = client.post(CHAT, json={"model": model, "messages": MESSAGES}, headers=headers)
            found = answer.json()
            assert found["object"] == "chat.completion"
            assert answer.headers["content-type"].startswith("application/json")
            (choice,) = found["choices"]
            assert choice["finish_reason"] == ("repeat" if flags else "length")
            if flags:
                row = Guarded(mock, proxy).assert_stopped(request_id, model)
                assert row.is_coerced
                assert json.loads(proxy.bodies(row).response or b"") == found
            else:
                assert not mock.call_of(request_id).cut_off
        with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=KEY, max_retries=0) as sdk:
            for _ in range(2):
                body = {**chat_body("mock-repeat"), "stream": False}
                parsed = sdk.chat.completions.create(**body, extra_headers=quick)
                assert parsed.choices[0].finish_reason == ("repeat" if flags else "length")


@pytest.mark.parametrize(
    "flags",
    [(), ("--detect-repeat", "--repeat-min-length", "100000"), ("--detect-repeat", "--repeat-threshold", "0")],
    ids=["off", "min-length", "threshold 0"],
)
def test_when_nothing_is_interrupted(launch: Launcher, mock: MockServer, flags: tuple[str, ...]) -> None:
    """Without the flag, below the minimal length and at threshold 0, a loop passes unchanged to its end."""
    headers = {"X-Mock-Events": "60", "X-Mock-Delay": "0"}
    with launch.start(*flags, endpoint=mock.url) as proxy, proxy.client() as client:
        for model in CHANNELS:
            answer = client.post(CHAT, json=chat_body(model), headers=headers)
            assert answer.content == client.post(f"{mock.url}{CHAT}", json=chat_body(model), headers=headers).content
            assert chunks_of(answer.content)[-1]["choices"][0]["finish_reason"] == "length"
        assert [row.state for row in proxy.rows(len(CHANNELS))] == [State.COMPLETED] * len(CHANNELS)
        assert WARNING not in proxy.log.text


LEFT = "left"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"


class Looping(SocketServer):
    """An upstream that loops until it is disconnected, with the framing, encoding and spelling in the model's name."""

    COUNT = 300

    def __init__(self) -> None:
        super().__init__()
        self.ends: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        """For each call whether it was "left" or "sent", and the number of events sent."""
        self._pause = threading.Event()

    def __exit__(self, *error: object) -> None:
        self._pause.set()
        super().__exit__(*error)

    def serve(self, connection: socket.socket) -> None:
        """Answer one call."""
        framing, encoding, line_end = json.loads(read_request(connection)[2])["model"].split("/")
        self.ends.put(self._answer(connection, framing, encoding, line_end))

    def _answer(self, connection: socket.socket, framing: str, encoding: str, line_end: str) -> tuple[str, int]:
        chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": LOOP}}]}
        spelling = OddSpelling(encoding=cast(Encoding, encoding), line_end=LINE_ENDS[line_end])
        sent = [piece.data for piece in spelling.pieces([json.dumps(chunk)] * self.COUNT, self.COUNT)]
        head = HEAD + (f"Content-Encoding: {encoding}\r\n".encode() if encoding else b"")
        head += FRAMINGS[framing] % sum(map(len, sent)) if framing == "length" else FRAMINGS[framing]
        with suppress(OSError):
            connection.sendall(head + b"\r\n")
            for number, data in enumerate(sent):
                self._pause.wait(0.005)
                if select.select([connection], [], [], 0)[0]:
                    return LEFT, number
                connection.sendall(b"%x\r\n%s\r\n" % (len(data), data) if framing == "chunked" else data)
            return "sent", self.COUNT
        return LEFT, number


FRAMINGS = {
    "length": b"Content-Length: %d\r\n",
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "close": b"Connection: close\r\n",
}
LINE_ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}


@pytest.fixture(scope="module")
def looping() -> Iterator[Looping]:
    """Provide an upstream that loops."""
    with Looping() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def before_looping(launch: Launcher, looping: Looping) -> Iterator[Proxy]:
    """Provide a proxy that detects loops, before that upstream."""
    with launch.start("--detect-repeat", endpoint=looping.url) as running:
        yield running


@pytest.mark.parametrize(
    "model",
    [
        *(f"{framing}//LF" for framing in FRAMINGS),
        *(f"chunked/{encoding}/LF" for encoding in ("gzip", "deflate", "br", "zstd")),
        "close/gzip/LF",
        "length/zstd/LF",
        "chunked//CRLF",
        "close//CR",
        "chunked/gzip/CRLF",
    ],
)
def test_whatever_upstream_sends(looping: Looping, before_looping: Proxy, request_id: str, model: str) -> None:
    """With any framing, encoding and spelling the loop ends in the same way, and upstream is disconnected."""
    with before_looping.client() as client:
        answer = client.post(CHAT, json=chat_body(model), headers={"X-Request-Id": request_id})
    how, events = looping.ends.get(timeout=PATIENCE)
    assert (how, events < Looping.COUNT / 3) == (LEFT, True)
    assert "content-encoding" not in answer.headers
    events_data = [event.data for event in sse.Decoder().feed(answer.content)]
    assert events_data[-1] == "[DONE]"
    last = json.loads(events_data[-2])
    assert last == {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "repeat"}]}
    row = before_looping.row(request_id)
    assert row.state is State.REPEAT_INTERRUPTED
    kept = [event.data for event in sse.Decoder().feed(before_looping.bodies(row).event_stream or b"")]
    assert kept[: len(events_data) - 2] == events_data[:-2]

"""Answers by their content, not by their label, over real sockets."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator, Sequence

import httpx
import pytest

from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.socket_server import PATIENCE, ParallelServer, read_request

CHAT = "/v1/chat/completions"
LABELS = ("text/event-stream", "application/json", "text/plain", "application/octet-stream", "")
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def chunk(delta: dict[str, object], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


ROLE, HEL, LO = chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"}, "stop")
COUNTED = json.dumps({"id": "c", "choices": [], "usage": USAGE})
COMPLETION = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()
ERROR = json.dumps({"error": {"type": "engine_overloaded_error", "message": "too busy"}})

pytestmark = pytest.mark.engine


def events(*data: str, parted: bool = False) -> bytes:
    """Return a stream; `parted` has single line ends between its events."""
    end = "\n" if parted else "\n\n"
    return (end.join(f"data: {text}" for text in data) + "\n\n").encode()


STREAM = events(ROLE, HEL, LO, COUNTED, "[DONE]")


class Scripted(ParallelServer):
    """An upstream that sends the parts of its next answer, and waits before each except the first.

    The answer is chunked, and ends with its last part; "cut" as the last part breaks off instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = b""
        self.parts: Sequence[bytes] = ()
        self._go = threading.Semaphore(0)

    def answers(self, label: str, *parts: bytes, status: int = 200, encoding: str = "") -> None:
        """Set the next answer."""
        self._go = threading.Semaphore(0)
        lines = [f"HTTP/1.1 {status} Said", "Transfer-Encoding: chunked", "Connection: close"]
        lines += [f"Content-Type: {label}"] if label else []
        lines += [f"Content-Encoding: {encoding}"] if encoding else []
        self.head, self.parts = "\r\n".join([*lines, "\r\n"]).encode(), parts

    def go_on(self) -> None:
        """Let it send the next part."""
        self._go.release()

    def serve(self, connection: socket.socket) -> None:
        """Send the parts of the answer that was set before the request came."""
        go = self._go
        read_request(connection)
        connection.sendall(self.head)
        for number, part in enumerate(self.parts):
            if number and not go.acquire(timeout=PATIENCE):
                return
            if part == b"cut":
                return
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    """Provide the upstream."""
    with Scripted() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(launch: Launcher, scripted: Scripted) -> Iterator[Proxy]:
    """Provide a proxy that forces streams; calls that ask for one themselves are left alone."""
    with launch.start("--force-stream", "--heartbeat", "0.2", endpoint=scripted.url) as running:
        yield running


def body(*, stream: bool) -> dict[str, object]:
    """Return a request."""
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **({"stream": True} if stream else {})}


def forced(client: httpx.Client, request_id: str) -> httpx.Response:
    """Return the answer to a call that does not ask for a stream."""
    return client.post(CHAT, json=body(stream=False), headers={"X-Request-Id": request_id})


def broken(client: httpx.Client, request_id: str) -> bytes:
    """Return the client's result of such a call, whose transfer must break."""
    got: list[bytes] = []
    headers = {"X-Request-Id": request_id}
    with client.stream("POST", CHAT, json=body(stream=False), headers=headers) as answer:
        assert answer.status_code == 200
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            got.extend(answer.iter_raw())
    return b"".join(got)


# ---- what only passes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("first", [b": hb\n\n", events(ROLE)])
def test_events_pass_at_once(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str, label: str, first: bytes
) -> None:
    """A requested stream passes with its first byte, under any label; its tokens are stored."""
    scripted.answers(label, first, STREAM)
    headers = {"X-Request-Id": request_id}
    with client.stream("POST", CHAT, json=body(stream=True), headers=headers) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == first
        scripted.go_on()
        assert b"".join(pieces) == STREAM
        assert answer.headers.get("content-type", "") == label
    row = proxy.row(request_id)
    assert (row.state, row.is_stream, row.total_tokens, row.warnings) == (State.COMPLETED, True, 7, ())
    assert row.time_to_first_token is not None


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_blanks_before_json_pass_at_once(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str, encoding: str
) -> None:
    """Whitespace that keeps a connection alive passes; the document follows and is stored."""
    parts = [b"\n", b"\n", COMPLETION]
    if encoding:
        packer = gzip.compress(b"\n") + gzip.compress(b"\n"), gzip.compress(COMPLETION)
        parts = [*packer]
    scripted.answers("application/json", *parts, encoding=encoding)
    with client.stream("GET", "/v1/slow", headers={"X-Request-Id": request_id}) as answer:
        pieces = answer.iter_raw()
        for part in parts[:-1]:
            assert next(pieces) == part
            scripted.go_on()
        assert b"".join(pieces) == parts[-1]
    row = proxy.row(request_id)
    assert (row.state, row.is_stream, row.total_tokens) == (State.COMPLETED, False, 7)


def test_a_slow_document_passes_as_it_comes(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str
) -> None:
    """A document that is incomplete after a short time is no longer held back, and is stored completely."""
    scripted.answers("application/json", COMPLETION[:20], COMPLETION[20:])
    with client.stream("GET", "/v1/slow", headers={"X-Request-Id": request_id}) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == COMPLETION[:20]
        scripted.go_on()
        assert b"".join(pieces) == COMPLETION[20:]
    row = proxy.row(request_id)
    assert (row.state, row.total_tokens) == (State.COMPLETED, 7)
    assert proxy.bodies(row).response == COMPLETION


@pytest.mark.parametrize(("before", "status"), [(b"", 502), (b"\n", 200)])
def test_a_cut_document(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str, before: bytes, status: int
) -> None:
    """Half a document is an error with a status; after whitespace, which has passed, it is a broken transfer."""
    parts = [before, COMPLETION[:20], b"cut"] if before else [COMPLETION[:20], b"cut"]
    scripted.answers("application/json", *parts)
    scripted.go_on()
    got: list[bytes] = []
    with client.stream("GET", "/v1/slow", headers={"X-Request-Id": request_id}) as answer:
        assert answer.status_code == status
        if before:
            scripted.go_on()
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                got.extend(answer.iter_raw())
        else:
            assert json.loads(answer.read())["error"]["message"]
    row = proxy.row(request_id)
    assert (row.state, row.status_code) == (State.UPSTREAM_FAILED, 200)
    assert proxy.bodies(row).response == before + COMPLETION[:20]


# ---- forced streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("label", LABELS)
def test_a_forced_stream_is_one_answer_under_any_label(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str, label: str, status: int
) -> None:
    """The client gets the completion, whatever the label of the API's stream."""
    scripted.answers(label, STREAM, status=status)
    answer = forced(client, request_id)
    assert (answer.status_code, answer.json()) == (status, json.loads(COMPLETION))
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    row = proxy.row(request_id)
    assert (row.state, row.is_stream, row.total_tokens, row.warnings) == (State.COMPLETED, True, 7, ())


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("label", LABELS)
def test_json_instead_of_a_stream(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str, label: str, status: int
) -> None:
    """JSON from the API is forwarded unchanged, answer or error, and its tokens are stored."""
    document = COMPLETION if status == 200 else ERROR.encode()
    scripted.answers(label, document, status=status)
    answer = forced(client, request_id)
    assert (answer.status_code, answer.content) == (status, document)
    assert answer.headers.get("content-type", "") == label
    row = proxy.row(request_id)
    assert (row.state, row.is_stream) == (State.COMPLETED, False)
    assert (row.total_tokens, row.error_kind) == ((7, None) if status == 200 else (None, "engine_overloaded_error"))


def test_a_heartbeat_before_anything_else(scripted: Scripted, client: httpx.Client, request_id: str) -> None:
    """A waiting client gets spaces before there is any content, and after that the answer, JSON or events."""
    for first, rest in ((b": hb\n\n", STREAM), (b"\n", COMPLETION)):
        scripted.answers("text/event-stream", first, rest)
        headers = {"X-Request-Id": request_id}
        with client.stream("POST", CHAT, json=body(stream=False), headers=headers) as answer:
            pieces = answer.iter_raw()
            assert next(pieces).isspace()
            scripted.go_on()
            assert json.loads(b"".join(pieces)) == json.loads(COMPLETION)


def test_events_parted_by_one_line_end(scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """No text is lost if a server leaves out blank lines."""
    scripted.answers("text/event-stream", events(ROLE, HEL, LO, COUNTED, "[DONE]", parted=True))
    assert forced(client, request_id).json() == json.loads(COMPLETION)
    row = proxy.row(request_id)
    assert (row.state, row.total_tokens, row.warnings) == (State.COMPLETED, 7, ())


@pytest.mark.parametrize("before", [b"", b": hb\n\n", events(ROLE)])
def test_an_error_before_any_content(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str, before: bytes
) -> None:
    """An error at the beginning of the stream is the answer, with a suitable status."""
    scripted.answers("text/event-stream", before + events(ERROR), b"data: [DONE]\n\n")
    answer = forced(client, request_id)
    assert (answer.status_code, answer.json()) == (429, json.loads(ERROR))
    row = proxy.row(request_id)
    assert (row.state, row.status_code, row.error_kind, row.error_message) == (
        State.COMPLETED,
        200,
        "engine_overloaded_error",
        "too busy",
    )
    assert any("429" in warning for warning in row.warnings)
    assert proxy.bodies(row).event_stream == before + events(ERROR)


def test_an_error_after_content(scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """An error in the middle breaks the transfer, and the row has the error."""
    scripted.answers("text/event-stream", events(ROLE, HEL) + events(ERROR) + b"data: [DONE]\n\n")
    assert broken(client, request_id).strip() == b""
    row = proxy.row(request_id)
    assert (row.state, row.error_kind, row.error_message) == (
        State.UPSTREAM_FAILED,
        "engine_overloaded_error",
        "too busy",
    )


def test_an_event_that_cannot_be_read(scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """Before any content it is an error of ours, after it a broken transfer; never an answer without the event."""
    garbled = b"data: {nope\n\n"
    scripted.answers("text/event-stream", garbled + STREAM)
    answer = forced(client, f"{request_id}-first")
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "upstream_cut")
    assert "is unreadable" in answer.json()["error"]["message"]
    scripted.answers("text/event-stream", events(ROLE, HEL) + garbled + events(LO, "[DONE]"))
    assert broken(client, f"{request_id}-later").strip() == b""
    for which in ("first", "later"):
        row = proxy.row(f"{request_id}-{which}")
        assert (row.state, row.error_kind) == (State.UPSTREAM_FAILED, "upstream_cut")
        assert "events of the stream that are not JSON: 1" in row.warnings


@pytest.mark.parametrize("answered", [b": hb\n\n", b"", events(ROLE), b"data: [DONE]\n\n"])
def test_a_stream_of_nothing(
    scripted: Scripted, proxy: Proxy, client: httpx.Client, request_id: str, answered: bytes
) -> None:
    """A stream that ends before any content is an error with a status."""
    scripted.answers("text/event-stream", *([answered] if answered else []))
    answer = forced(client, request_id)
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "upstream_cut")
    assert proxy.row(request_id).state is State.UPSTREAM_FAILED

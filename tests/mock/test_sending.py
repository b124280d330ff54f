"""The bytes on the wire, read from plain sockets."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tornado.concurrent import Future
from tornado.iostream import IOStream

from tests.scenarios.server import MockServer

EVENT = rb"(?:[0-9a-f]+\r\ndata: [^\n]+\n\n\r\n)"
WRITE = IOStream.write


def sent(model: str, *, stream: bool, version: str = "HTTP/1.1", method: str = "POST", **headers: str) -> bytes:
    """Return a request as bytes."""
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three"}]})
    lines = [f"{method} /v1/chat/completions {version}", "Host: mock", "Authorization: Bearer sk-test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()


@contextmanager
def connected(mock: MockServer) -> Iterator[socket.socket]:
    """Provide a connection to the mock with a timeout of ten seconds."""
    with socket.create_connection(("127.0.0.1", mock.port), 10) as connection:
        yield connection


def read_to_the_end(connection: socket.socket) -> tuple[bytes, bool]:
    """Return all bytes up to the end of the connection, and whether it was reset."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        return found, True
    return found, False


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read until the received bytes end with `end`, and return them."""
    found = b""
    while not found.endswith(end):
        data = connection.recv(65536)
        assert data, f"the connection ended after {found!r}"
        found += data
    return found


@pytest.mark.parametrize(("name", "reset"), [("mock-cut", False), ("mock-reset", True)])
def test_a_stream_that_breaks_off(own_mock: MockServer, name: str, reset: bool) -> None:
    """After three events the connection ends without the last chunk, by closing or by a reset."""
    with connected(own_mock) as connection:
        connection.sendall(sent(name, stream=True))
        found, was_reset = read_to_the_end(connection)
    _head, body = found.split(b"\r\n\r\n", 1)
    assert re.fullmatch(EVENT + b"{3}", body)
    assert was_reset is reset
    (served,) = own_mock.log.wait_for(1)
    assert (served.sent_events, served.total_events > 20, served.cut_off) == (3, True, False)


@pytest.mark.parametrize(("name", "reset"), [("mock-cut", False), ("mock-reset", True)])
def test_a_body_that_breaks_off(shared_mock: MockServer, name: str, reset: bool) -> None:
    """Without streaming half of the announced length is sent."""
    with connected(shared_mock) as connection:
        connection.sendall(sent(name, stream=False))
        found, was_reset = read_to_the_end(connection)
    head, body = found.split(b"\r\n\r\n", 1)
    announced = re.search(rb"Content-Length: (\d+)", head)
    assert announced is not None
    assert len(body) == int(announced[1]) // 2 > 0
    assert was_reset is reset


@pytest.mark.parametrize("stream", [False, True])
def test_no_answer_at_all(own_mock: MockServer, stream: bool) -> None:
    """The connection is closed before the first byte."""
    with connected(own_mock) as connection:
        connection.sendall(sent("mock-reset-early", stream=stream))
        assert read_to_the_end(connection)[0] == b""
    (served,) = own_mock.log.wait_for(1)
    assert (served.sent_events, served.cut_off) == (0, False)


def test_a_stream_that_stalls(own_mock: MockServer) -> None:
    """After two events nothing follows; the client's disconnection is noticed at once."""
    with connected(own_mock) as connection:
        connection.sendall(sent("mock-stall", stream=True))
        found = read_until(connection, b"\n\n\r\n")
        while found.count(b"data: ") < 2:
            found += read_until(connection, b"\n\n\r\n")
        assert len(own_mock.log) == 0
    (served,) = own_mock.log.wait_for(1)
    assert (served.sent_events, served.cut_off) == (2, True)


def test_a_body_that_stalls(own_mock: MockServer) -> None:
    """Without streaming half of the body is sent, then nothing until the client disconnects."""
    with connected(own_mock) as connection:
        connection.sendall(sent("mock-stall", stream=False))
        found = connection.recv(65536)
        while b"\r\n\r\n{" not in found:
            found += connection.recv(65536)
        assert len(own_mock.log) == 0
    (served,) = own_mock.log.wait_for(1)
    assert (served.sent_events, served.total_events, served.cut_off) == (0, 0, True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_until_the_end_of_the_connection(shared_mock: MockServer, stream: bool) -> None:
    """The body has neither length nor chunks; closing the connection marks its end."""
    with connected(shared_mock) as connection:
        connection.sendall(sent("mock-until-close", stream=stream))
        found, was_reset = read_to_the_end(connection)
    head, body = found.split(b"\r\n\r\n", 1)
    assert b"Connection: close" in head
    assert b"Content-Length" not in head
    assert b"Transfer-Encoding" not in head
    assert body.endswith(b"data: [DONE]\n\n" if stream else b"}")
    assert not was_reset


def test_the_first_event_leaves_at_once(own_mock: MockServer) -> None:
    """Headers and the first event arrive although the next event is an hour away; a disconnection is noticed."""
    with connected(own_mock) as connection:
        connection.sendall(sent("mock-slow", stream=True, X_Mock_Delay="3600"))
        assert read_until(connection, b"\n\n\r\n").count(b"data: ") == 1
    (served,) = own_mock.log.wait_for(1)
    assert (served.sent_events, served.total_events, served.cut_off) == (1, 5, True)


def test_without_streaming_the_pauses_come_first(own_mock: MockServer) -> None:
    """An answer that takes an hour does not begin, and a client's disconnection is noticed meanwhile."""
    with connected(own_mock) as connection:
        connection.sendall(sent("mock-echo", stream=False, X_Mock_Delay="3600"))
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    (served,) = own_mock.log.wait_for(1)
    assert served.cut_off


def test_events_are_not_held_back(shared_mock: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a stream is written the kernel is told not to delay small packets."""
    done: list[str] = []

    def set_nodelay(stream: IOStream, value: bool) -> None:
        done.append(f"nodelay {value}")

    def write(stream: IOStream, data: bytes) -> "Future[None]":
        done.append("write")
        return WRITE(stream, data)

    monkeypatch.setattr(IOStream, "set_nodelay", set_nodelay)
    monkeypatch.setattr(IOStream, "write", write)
    with connected(shared_mock) as connection:
        connection.sendall(sent("mock-echo", stream=True))
        assert len(re.findall(EVENT, read_until(connection, b"0\r\n\r\n"))) == 6
    # The headers, six events and the last chunk.
    assert done[:9] == ["nodelay True", *["write"] * 8]


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_is_used_again(shared_mock: MockServer, stream: bool) -> None:
    """After a complete answer the same connection serves the next request, also if two were sent at once."""
    end = b"0\r\n\r\n" if stream else b"}}}"
    with connected(shared_mock) as connection:
        answers = []
        for _ in range(3):
            connection.sendall(sent("mock-echo", stream=stream))
            answers.append(read_until(connection, end).split(b"\r\n\r\n", 1)[1])
        connection.sendall(sent("mock-echo", stream=stream) + sent("mock-400", stream=stream, Connection="close"))
        found, _reset = read_to_the_end(connection)
    assert len(set(answers)) == 1
    assert answers[0] in found
    assert found.index(b"HTTP/1.1 200 OK") < found.index(b"HTTP/1.1 400 Bad Request")


def test_http_1_0(shared_mock: MockServer) -> None:
    """An old client gets a stream without chunks, which ends with the connection."""
    with connected(shared_mock) as connection:
        connection.sendall(sent("mock-echo", stream=True, version="HTTP/1.0"))
        head, body = read_to_the_end(connection)[0].split(b"\r\n\r\n", 1)
    assert b"Transfer-Encoding" not in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


def test_head(shared_mock: MockServer) -> None:
    """HEAD is answered with headers only."""
    with connected(shared_mock) as connection:
        connection.sendall(
            b"HEAD /v1/models HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer k\r\nConnection: close\r\n\r\n"
        )
        found, _reset = read_to_the_end(connection)
    assert found.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"Connection: close\r\n" in found
    assert found.endswith(b"\r\n\r\n")


def test_pieces_cut_code_points_on_the_wire(shared_mock: MockServer) -> None:
    """The chunks of a split stream begin inside code points."""
    with connected(shared_mock) as connection:
        connection.sendall(sent("mock-split", stream=True))
        body = read_until(connection, b"0\r\n\r\n").split(b"\r\n\r\n", 1)[1]
    begins = []
    while body:
        size, rest = body.split(b"\r\n", 1)
        begins.append(rest[0])
        body = rest[int(size, 16) + 2 :] if int(size, 16) else b""
    assert any(begin & 0xC0 == 0x80 for begin in begins)

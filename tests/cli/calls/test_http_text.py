"""Tests of calls written as HTTP messages."""

from collections.abc import Callable

from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_cli.calls.http_text import request_message, response_message


def test_request(exchange: Callable[..., Exchange]) -> None:
    """The first line has the full URL, the headers are the client's, JSON is indented."""
    call = exchange(query="a=1")
    assert request_message(call, Bodies('{"content":"你好 it\'s \\"me\\" <b>"}'.encode(), None, None)) == (
        "POST https://api.moonshot.cn/v1/chat/completions?a=1 HTTP/1.1\n"
        "Accept: application/json\n"
        "Content-Type: application/json\n"
        "User-Agent: OpenAI/Python 1.50.0\n"
        "X-Stainless-Lang: python\n"
        "\n"
        "{\n"
        '    "content": "你好 it\'s \\"me\\" <b>"\n'
        "}\n"
    )


def test_response_of_a_stream(exchange: Callable[..., Exchange]) -> None:
    """A stream is printed with its raw events, or merged on request."""
    call = exchange(is_stream=True, response_headers="Content-Type: text/event-stream\r\n")
    bodies = Bodies(b"", b'{"object":"chat.completion"}', b"data: 1\r\n\r\n: hb\n\n")
    head = "HTTP/1.1 200 OK\nContent-Type: text/event-stream\n\n"
    assert response_message(call, bodies, merged=False) == head + "data: 1\r\n\r\n: hb\n\n"
    assert response_message(call, bodies, merged=True) == head + '{\n    "object": "chat.completion"\n}\n'


def test_no_response(exchange: Callable[..., Exchange]) -> None:
    """A call without an answer has an empty status line and no headers."""
    assert response_message(exchange(refused=True), Bodies(b"", None, None), merged=False) == "HTTP/1.1\n\n"


def test_bodies_that_are_no_text(exchange: Callable[..., Exchange]) -> None:
    """Bytes are unchanged, and text gets a line end only if it has none."""
    call = exchange(response_headers="A: é\r\n")
    assert response_message(call, Bodies(None, b"\xff\x00", None), merged=False) == (
        "HTTP/1.1 200 OK\nA: é\n\n".encode() + b"\xff\x00"
    )
    assert response_message(call, Bodies(None, b"x", None), merged=False) == "HTTP/1.1 200 OK\nA: é\n\nx\n"

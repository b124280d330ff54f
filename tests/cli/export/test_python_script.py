"""Tests of the text of the Python script; tests/e2e runs it."""

import ast
import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.python_script import MAX_LITERAL_LENGTH, literal, script


def meaning(text: str) -> object:
    """Return the value of a body's Python literal."""
    return eval(text, {"base64": base64})


@given(st.binary(min_size=1, max_size=200) | st.text(min_size=1, max_size=200).map(str.encode))
def test_any_body(body: bytes) -> None:
    """The literal of any body has its value."""
    assert meaning(literal(body)) == body


@pytest.mark.parametrize("body", [b"a" * 10_000, b"line\n" * 1000, "🚀\r\n\u2028\x85".encode() * 500])
def test_long_bodies(body: bytes) -> None:
    """A long body has several lines of bounded length."""
    text = literal(body)
    assert meaning(text) == body
    assert max(map(len, text.split("\n"))) <= 2 * MAX_LITERAL_LENGTH


def test_script(call: Callable[..., Call]) -> None:
    """The script takes the key from the environment and has the client's headers, not the connection's."""
    headers = "Host: h\r\nContent-Length: 5\r\nContent-Type: application/json\r\nX-Name: 中\r\n"
    text = script(call(b"{}", request_headers=headers, query="a='b'"))
    ast.parse(text)
    assert "BODY = '{}'.encode()\n" in text
    assert "connection = http.client.HTTPSConnection('api.moonshot.cn')\n" in text
    assert """connection.putrequest('POST', "/v1/chat/completions?a='b'", skip_accept_encoding=True)\n""" in text
    assert 'connection.putheader("Authorization", "Bearer " + os.environ["MOONSHOT_API_KEY"])\n' in text
    assert "connection.putheader('X-Name', '中'.encode())\n" in text
    assert "'h'" not in text
    assert "base64" not in text


def test_address_that_is_not_ascii(call: Callable[..., Call]) -> None:
    """A path with raw bytes is percent-encoded, because a request line is ASCII; it cannot end a comment."""
    text = script(call(path='/v1/中\n"""', method="GET"))
    ast.parse(text)
    assert text.split("\n", 1)[0].endswith('/v1/\\u4e2d\\n"""')
    assert '\'/v1/%E4%B8%AD%0A"""\'' in text

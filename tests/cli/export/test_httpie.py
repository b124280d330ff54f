"""Tests of the HTTPie command by its documented syntax; HTTPie itself is not available."""

import shlex
from collections.abc import Callable

import pytest

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.httpie import command, header


def test_command(call: Callable[..., Call]) -> None:
    """The command has the method, the URL, the headers and the original body; the key is the caller's."""
    body = """{"content": "你好 it's \\"me\\""}"""
    headers = "Host: x\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python\r\nX-Empty:\r\n"
    text = command(call(body.encode(), request_headers=headers, query="a=1"))
    assert 'Authorization:"Bearer $MOONSHOT_API_KEY"' in text
    assert shlex.split(text.replace("\\\n", " ")) == [
        "http",
        "--body",
        "--stream",
        "--ignore-stdin",
        "POST",
        "https://api.moonshot.cn/v1/chat/completions?a=1",
        "Authorization:Bearer $MOONSHOT_API_KEY",
        "Content-Type:application/json",
        "User-Agent:OpenAI/Python",
        "X-Empty;",
        "Accept:",
        "Accept-Encoding:",
        "--raw",
        body,
    ]


def test_no_body(call: Callable[..., Call]) -> None:
    """A GET has no body, and a path with dots is unchanged."""
    text = command(call(b"", method="GET", path="/v1/../models", request_headers=""))
    assert "--raw" not in text
    assert text.endswith("--path-as-is")


@pytest.mark.parametrize("body", [b"\xff\x00", b"x" * 200_000, b"a\r\n"])
def test_body_that_is_no_argument(call: Callable[..., Call], body: bytes) -> None:
    """A body that cannot be an argument is passed in base64 through standard input."""
    text = command(call(body))
    assert text.startswith("base64 -d <<'EOF' | http --body --stream 'POST' ")
    assert text.endswith("\nEOF")
    assert "--ignore-stdin" not in text


@pytest.mark.parametrize(
    ("value", "argument"),
    [("a:b", "'X:a:b'"), ("=a", "'X:\\=a'"), ("@f", "'X:\\@f'"), ("", "'X;'"), ("it's", "'X:it'\"'\"'s'")],
)
def test_headers(value: str, argument: str) -> None:
    """A header whose value begins like another kind of HTTPie item is escaped."""
    assert header("X", value) == argument

"""Tests of the curl command, run by a real shell and curl with a recording server."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_cli.export.curl import command


def test_command_of_a_chat_completion(exchange: Callable[..., Exchange]) -> None:
    """The command has the documented lines, with the key from the environment and without connection headers."""
    call = exchange(
        request_headers="Host: 127.0.0.1:9988\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
        "Connection: keep-alive\r\nContent-Length: 2450\r\nContent-Type: application/json\r\n"
        "User-Agent: OpenAI/Python\r\n"
    )
    assert command(call, """{"content": "你好 it's \\"me\\""}""".encode()) == (
        "curl -X 'POST' 'https://api.moonshot.cn/v1/chat/completions' \\\n"
        '\t-H "Authorization: Bearer $MOONSHOT_API_KEY" \\\n'
        "\t-H 'Accept: application/json' \\\n"
        "\t-H 'Content-Type: application/json' \\\n"
        "\t-H 'User-Agent: OpenAI/Python' \\\n"
        "\t--compressed \\\n"
        """\t--data-raw '{"content": "你好 it'"'"'s \\"me\\""}'"""
    )


def test_command_without_a_body_ends_in_its_last_option(exchange: Callable[..., Exchange]) -> None:
    """A GET has no data and no backslash at its end."""
    call = exchange(method="GET", path="/v1/models", request_headers="Accept: */*\r\nUser-Agent: x\r\n")
    assert command(call, b"") == (
        "curl -X 'GET' 'https://api.moonshot.cn/v1/models' \\\n"
        '\t-H "Authorization: Bearer $MOONSHOT_API_KEY" \\\n'
        "\t-H 'Accept: */*' \\\n"
        "\t-H 'User-Agent: x'"
    )


@pytest.mark.parametrize(
    ("body", "encoding", "as_argument"),
    [
        ("中文".encode(), "utf-8", True),
        ("中文".encode(), "gbk", True),
        ("🚀".encode(), "gbk", False),
        (b"a" * 100_000, "utf-8", True),
        (b"a" * 100_001, "utf-8", False),
        (b"\xff", "utf-8", False),
        (b"a\tb\nc", "utf-8", True),
        (b"a\r\nb", "utf-8", False),
        (b"\x1b[31m", "utf-8", False),
    ],
)
def test_only_harmless_text_is_an_argument(
    exchange: Callable[..., Exchange], body: bytes, encoding: str, as_argument: bool
) -> None:
    """Text that a terminal cannot show or would interpret, and text that is too long, is in base64."""
    text = command(exchange(), body, encoding=encoding)
    assert ("--data-raw" in text) is as_argument
    assert text.startswith("base64 -d <<'EOF' | curl ") is not as_argument


@dataclass(frozen=True, slots=True)
class Received:
    """A request as received by the server."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Server:
    """A server on a free port, and the requests it received."""

    address: str
    received: list[Received]


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server that answers everything with 200."""
    received: list[Received] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            received.append(Received(self.command, self.path, self.headers.items(), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = answer  # noqa: N815 - the server's names

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield Server(f"http://127.0.0.1:{listening.server_port}", received)
    listening.shutdown()
    thread.join()
    listening.server_close()


JSON = "Content-Type: application/json\r\n"
CASES: dict[str, tuple[str, str, str, bytes]] = {
    "quotes": ("POST", "/v1/chat/completions", JSON, '{"a": "it\'s $HOME `id` \\\\ !x 你好 🚀"}'.encode()),
    "lines": ("POST", "/v1/chat/completions", JSON, b'{\n\t"a": 1\n}\n\n'),
    "crlf": ("POST", "/v1/chat/completions", JSON, b'{\r\n"a": 1\r\n}'),
    "at sign": ("POST", "/v1/chat/completions", JSON, b"@/etc/passwd"),
    "large": ("POST", "/v1/chat/completions", JSON, b'"' + b"x'\n" * 500_000 + b'"'),
    "binary": ("PUT", "/v1/files", "Content-Type: application/octet-stream\r\n", bytes(range(256))),
    "no content type": ("POST", "/v1/files", "", b"{}"),
    "no body": ("POST", "/v1/files", "", b""),
    "get": ("GET", "/v1/models", "Accept: text/plain\r\nUser-Agent: me\r\n", b""),
    "get with body": ("GET", "/v1/models", JSON, b"{}"),
    "head": ("HEAD", "/v1/models", "", b""),
    "delete": ("DELETE", "/v1/files/1", "", b""),
    "odd address": ("GET", "/v1/../x/{a,b}[1-2]/'%20?q='a'&r=[1]{2}&s=%E4%B8%AD", "", b""),
    "odd headers": (
        "POST",
        "/v1/files",
        'X-Twice: 1\r\nX-Twice: 2\r\nX-Empty:\r\nX-Quote: it\'s; "$HOME"\r\n'
        "x-lower: A:b\r\nX-Msh-Context-Cache: cache-1\r\n",
        b"{}",
    ),
    "compressed": (
        "POST",
        "/v1/files",
        "Accept-Encoding: gzip;q=0.5, br\r\nContent-Encoding: gzip\r\nHost: x\r\n",
        b"{}",
    ),
    "identity": ("GET", "/v1/models", "Accept-Encoding: identity\r\n", b""),
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("case", CASES)
def test_command_sends_the_captured_request(
    exchange: Callable[..., Exchange], server: Server, tmp_path: Path, case: str, shell: str
) -> None:
    """The command sends the captured request: method, target, body, and all headers except those of the connection."""
    method, target, headers, body = CASES[case]
    path, _, query = target.partition("?")
    call = exchange(endpoint=server.address, method=method, path=path, query=query, request_headers=headers)
    environment = {"MOONSHOT_API_KEY": "sk-of-the-user", "PATH": "/usr/bin:/bin"}
    script = tmp_path / "script"
    script.write_text(command(call, body))
    ran = subprocess.run([shell, script], env=environment, capture_output=True, timeout=30, check=False)
    assert (ran.returncode, len(server.received)) == (0, 1), ran.stderr
    received = server.received[0]
    assert (received.method, received.target, received.body) == (method, target, body)
    wanted = [line.split(":", 1) for line in headers.split("\r\n") if line]
    left_out = {"accept-encoding", "content-encoding", "host"}
    expected = [(name, value.strip()) for name, value in wanted if name.lower() not in left_out]
    expected.append(("Authorization", "Bearer sk-of-the-user"))
    own = {"host", "content-length", "accept-encoding"}
    assert sorted(header for header in received.headers if header[0].lower() not in own) == sorted(expected)
    compressed = any(name == "Accept-Encoding" for name, _ in received.headers)
    assert compressed is (case == "compressed")

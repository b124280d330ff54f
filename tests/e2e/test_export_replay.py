"""Exported commands and scripts send the captured request when they are run."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from moonpalace_cli.mock.served import Served
from tests.e2e.launching import Proxy
from tests.scenarios.server import MockServer

KEY = "sk-of-the-one-who-runs-it"
PATIENCE = 60
CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
QUOTES = """it's "me" $HOME `id` $(id) \\ \\n !x %s {a} 'EOF' \t 你好 🚀"""


def chat(content: str, **more: object) -> bytes:
    """Return the body of a chat completion."""
    body = {"model": "mock-echo", "messages": [{"role": "user", "content": content}], **more}
    return json.dumps(body, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a client sends it."""

    method: str = "POST"
    target: str = CHAT
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


CASES = {
    "plain": Asked(body=chat("hello")),
    "quotes": Asked(body=chat(QUOTES)),
    "stream": Asked(body=chat("hello", stream=True)),
    "indented": Asked(body=json.dumps(json.loads(chat("中")), indent=2).encode() + b"\n\n"),
    "crlf": Asked(body=b'{\r\n"model": "mock-echo",\r\n"messages": []}\r\n'),
    "escapes": Asked(
        body=b'{"model": "mock-echo", "messages": [{"role": "user", "content": "\\ud800\\u0000 \\u4e2d"}]}'
    ),
    "separators": Asked(body='{"model": "mock-echo", "x": "\u2028\u2029\x85\x1c\ufeff", "messages": []}'.encode()),
    "no json": Asked(body=b"@/etc/passwd", headers={"Content-Type": "text/plain"}),
    "binary": Asked("POST", "/v1/files", bytes(range(256)), {"Content-Type": "application/octet-stream"}),
    "large": Asked(body=chat("x'\n" * 200_000)),
    "empty": Asked(body=b"", headers={}),
    "query": Asked(target=CHAT + "?a=1&b=%20+%E4%B8%AD&c='[x]{y}'&a=2", body=chat("q")),
    "get": Asked("GET", "/v1/models", headers={"Accept": "text/plain", "User-Agent": "me/1.0 (it's)"}),
    "delete": Asked("DELETE", "/v1/files/file-1", headers={}),
    "head": Asked("HEAD", "/v1/models", headers={}),
    "headers": Asked(
        body=chat("h"),
        headers={**JSON, "X-Quote": "a \"b\" 'c'; $HOME", "X-Empty": "", "x-lower": "=a:b@c", "X-At": "@x"},
    ),
}
OURS = {"host", "authorization", "accept-encoding", "connection", "content-length"}
"""Headers of the connection, and the key: the client's key is not stored."""
RUNNERS = {"curl": ["sh"], "python": [sys.executable]}


def captured(mock: MockServer, proxy: Proxy, asked: Asked) -> tuple[Served, int]:
    """Send a request through the proxy; return the request that upstream received, and the id of its row."""
    served, stored = len(mock.log), len(proxy_rows(proxy))
    headers = [(name.encode(), value.encode()) for name, value in asked.headers.items()]
    headers.append((b"authorization", b"Bearer sk-of-the-client-0123456789"))
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        client.headers.clear()
        client.request(asked.method, proxy.url + asked.target, content=asked.body, headers=headers)
    return mock.log.wait_for(served + 1)[-1], proxy.rows(stored + 1)[-1].id


def proxy_rows(proxy: Proxy) -> list[object]:
    """Return the proxy's rows so far."""
    from moonpalace_addons.store.records import exchanges

    return list(exchanges.latest(proxy.engine, limit=10_000))


def replayed(mock: MockServer, command: list[str], folder: Path) -> tuple[Served, bytes]:
    """Run a command; return the request that upstream received, and the output."""
    before = len(mock.log)
    environment = {"MOONSHOT_API_KEY": KEY, "PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    ran = subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 0, ran.stderr
    return mock.log.wait_for(before + 1)[-1], ran.stdout


@pytest.fixture(scope="module")
def exported(
    proxy: Proxy, mock: MockServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Served, Path]]:
    """Provide the requests of all cases as upstream received them, with the folder of each one's exports."""
    cases, commands = {}, list[tuple[str, ...]]()
    for name, asked in CASES.items():
        expected, row_id = captured(mock, proxy, asked)
        folder = tmp_path_factory.mktemp("exported")
        commands += [("export", "--id", str(row_id), "--format", form, "-o", str(folder / form)) for form in RUNNERS]
        cases[name] = expected, folder
    said = proxy.mpal_all(commands).decode().splitlines()
    assert said == [" ".join(("mpal", *command)) for command in commands]  # and nothing else, on neither output
    return cases


@pytest.mark.parametrize("name", CASES)
def test_what_is_sent_is_what_was_captured(
    exported: dict[str, tuple[Served, Path]], mock: MockServer, name: str
) -> None:
    """The curl command and the Python script send the captured method, path, query, headers and bytes, with my key."""
    expected, folder = exported[name]
    answers = {}
    for form, run in RUNNERS.items():
        script = folder / form
        sent, answers[form] = replayed(mock, [*run, str(script)], folder)
        assert (sent.method, sent.path, sent.query) == (expected.method, expected.path, expected.query), form
        assert sent.body == expected.body, form
        assert KEY not in script.read_text()
        assert sent.headers["Authorization"] == f"Bearer {KEY}"
        theirs, ours = ({key.lower(): value for key, value in one.headers.items()} for one in (expected, sent))
        assert {key: value for key, value in ours.items() if key not in OURS} == {
            key: value for key, value in theirs.items() if key not in OURS
        }, form
    if expected.method != "HEAD":  # which curl answers with the headers
        # The mock's usage tells the second of two long calls that it was cached.
        texts = {form: answer.partition(b'"usage"')[0] for form, answer in answers.items()}
        assert texts["curl"] == texts["python"] != b""

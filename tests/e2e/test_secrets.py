"""After calls of every kind, including failed ones and a crash, no file, log, list or export contains a secret."""

import base64
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from moonpalace_addons.store.records import exchanges
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

CHAT = "/v1/chat/completions"
BEARER = "sk-clients-Bearer-0123456789"
API_KEY = "sk-clients-ApiKey-0123456789"
COOKIE = "cookie-of-the-Client-0123456789"
MOCKS_COOKIE = "5e55104c00c1e"
PASSWORD = "basic-Passw0rd-0123456789"
BASIC = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
QUERY_KEY = "sk-in-the-Query-0123456789"
OWNERS_KEY = "sk-owners-Key-0123456789"
TOKEN = "token-of-the-Owner-0123456789"
CLIENT_SECRETS = (BEARER, API_KEY, COOKIE, MOCKS_COOKIE, PASSWORD, BASIC, QUERY_KEY)
HEADERS = {"Authorization": f"Bearer {BEARER}", "X-Api-Key": API_KEY, "Cookie": f"session={COOKIE}; a=b"}
ENDLESS = {"X-Mock-Delay": "0.01", "X-Mock-Events": "100000"}
MODELS = (
    "mock-echo",
    "mock-echo-key",
    "mock-gzip",
    "mock-cookie",
    "mock-html",
    "mock-401",
    "mock-429",
    "mock-500",
    "mock-504-html",
    "mock-reset-early",
    "mock-cut",
    "mock-reset",
    "mock-split",
    "mock-tools",
)


def ask(client: httpx.Client, model: str, headers: dict[str, str], secrets: tuple[str, ...]) -> None:
    """Make the same call with and without a stream, with the secrets in its body, which the mock repeats."""
    text = " ".join(secrets)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"default": text}}}}}
    for stream in (False, True):
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}], "tools": [tool]}
        try:
            with client.stream("POST", CHAT, json=body, headers=headers) as answer:
                answer.read()
        except httpx.TransportError:
            continue


GARBLED = (
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {0}\r\nContent-Length: many\r\n\r\n",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {0}\r\n\r\n",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {0}\r\n\r\n",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Api-Key: {0}\r\nTransfer-Encoding: strange\r\n\r\n",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nCookie: a={0}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /v1/files HTTP/1.1\r\nHost: x\r\nX-Api-Key: {0}\r\nTransfer-Encoding: chunked\r\n\r\nzz{0}\r\n",
    "GET /v1/models?api_key={0} x HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /v1/models?api_key={0} HTTP/9\r\nHost: x\r\n\r\n",
    "GET /v1/models HTTP/1.1\r\nAuthorization: Bearer {0}\r\n\r\n",
    "GET http://127.0.0.1:1/v1?api_key={0} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {0}\r\n\r\n",
    "{0}\r\n\r\n",
)
"""Invalid requests with a secret in them."""


def send_garbled(proxy: Proxy, secret: str) -> None:
    """Send bytes that mitmproxy rejects, and wait for the first bytes of its answer."""
    host, port = proxy.url.removeprefix("http://").split(":")
    for text in GARBLED:
        with socket.create_connection((host, int(port)), 60) as connection, suppress(OSError):
            connection.sendall(text.format(secret).encode())
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)


@dataclass
class Trace:
    """Everything that a proxy leaves behind, by its place."""

    texts: dict[str, bytes] = field(default_factory=dict)

    def collect(self, proxy: Proxy, when: str) -> None:
        """Add the files, the log and the process list."""
        for path in proxy.home.parent.rglob("*"):
            if path.is_file():
                self.texts[f"{when}: {path.name}"] = path.read_bytes()
        self.texts[f"{when}: log"] = proxy.log.text.encode()
        command = Path(f"/proc/{proxy.process.pid}/cmdline")
        if command.exists():
            self.texts[f"{when}: process list"] = command.read_bytes()

    def assert_without(self, secrets: tuple[str, ...]) -> None:
        """Check that no secret occurs anywhere, verbatim, in base64 or with JSON's escapes."""
        for name, text in self.texts.items():
            for secret in secrets:
                plain = secret.encode()
                assert plain not in text, f"{secret} is in {name}"
                assert base64.b64encode(plain)[:-4] not in text, f"{secret} is in {name} in base64"


def print_all(proxy: Proxy, trace: Trace) -> None:
    """Add the output of every command: for a few calls through the command line, for all through the store."""
    commands: list[tuple[str, ...]] = [("list", "-v", "-n", "1000"), ("list", "--json", "-n", "1000")]
    parts = "metadata,request_header,request_body,response_header,response_body,error"
    for row in most_telling(exchanges.latest(proxy.engine, limit=1000)):
        commands += [
            ("inspect", "--id", row, "--print", parts),
            ("inspect", "--id", row, "--print-request", "--print-response", "--merge-event-stream"),
            ("export", "--id", row),
            ("export", "--id", row, "--curl"),
        ]
    trace.texts["output of mpal"] = proxy.mpal_all(commands)
    for call in exchanges.latest(proxy.engine, limit=1000):
        bodies = proxy.bodies(call)
        kept = (bodies.request, bodies.response, bodies.event_stream)
        trace.texts[f"row {call.id}"] = repr(call).encode() + b"".join(body or b"" for body in kept)


def most_telling(rows: list[exchanges.Exchange]) -> list[str]:
    """Return the ids of a call that echoes the key and of a stream."""
    echoed = next(row.id for row in rows if row.model_requested == "mock-echo-key")
    stream = next(row.id for row in rows if row.model_requested == "mock-echo" and row.is_stream)
    return [str(echoed), str(stream)]


def make_every_kind(proxy: Proxy, headers: dict[str, str], secrets: tuple[str, ...]) -> None:
    """Make calls of many kinds."""
    with proxy.client(headers=headers) as client:
        for model in MODELS:
            ask(client, model, {}, secrets)
        client.get("/v1/models", params={"api_key": QUERY_KEY, "x": secrets[0]})
        client.get(f"/v1/files/{secrets[0]}", headers={"X-Request-Id": secrets[0]})
        client.post("/v1/files", files={"file": ("a.txt", f"key={secrets[0]}".encode())})


def break_off(proxy: Proxy, headers: dict[str, str], secrets: tuple[str, ...]) -> None:
    """Disconnect during a stream, and before the answer."""
    body = {"model": "mock-repeat", "stream": True, "messages": [{"role": "user", "content": " ".join(secrets)}]}
    with proxy.client(headers={**headers, **ENDLESS}) as client, client.stream("POST", CHAT, json=body) as answer:
        next(answer.iter_raw())


def clients_trace(launch: Launcher, mock: MockServer) -> Trace:
    """Return the traces of calls whose clients send the secrets, up to a crash and the start after it."""
    trace, folder = Trace(), launch.folder()
    own = (BEARER, API_KEY, COOKIE)
    with launch.start(endpoint=mock.url, folder=folder) as proxy:
        make_every_kind(proxy, HEADERS, own)
        with proxy.client(headers={"Authorization": f"Basic {BASIC}"}) as client:
            ask(client, "mock-echo", {}, (PASSWORD, BASIC))
        break_off(proxy, HEADERS, own)
        send_garbled(proxy, BEARER)
        # The proxy dies in the middle of a stream.
        body = {"model": "mock-repeat", "stream": True, "messages": [{"role": "user", "content": " ".join(own)}]}
        with (
            proxy.client(headers={**HEADERS, **ENDLESS}) as client,
            client.stream("POST", CHAT, json=body) as answer,
        ):
            pieces = answer.iter_raw()
            for _ in range(20):
                next(pieces)
            trace.collect(proxy, "while calls are under way")
            proxy.kill()
            with pytest.raises(httpx.TransportError):
                list(pieces)
    trace.collect(proxy, "after the crash")
    with launch.start(endpoint=mock.url, folder=folder) as proxy:
        print_all(proxy, trace)
        trace.collect(proxy, "after the next start")
    trace.collect(proxy, "after the end")
    return trace


def owners_trace(launch: Launcher, mock: MockServer) -> Trace:
    """Return the traces of calls through a proxy with a key and a token."""
    trace = Trace()
    options = ("--key", OWNERS_KEY, "--token", TOKEN)
    both = (TOKEN, OWNERS_KEY)
    with launch.start(*options, endpoint=mock.url, fresh=True) as proxy:
        make_every_kind(proxy, {"Authorization": f"Bearer {TOKEN}"}, both)
        break_off(proxy, {"Authorization": f"Bearer {TOKEN}"}, both)
        with proxy.client(headers={"Authorization": f"Bearer {TOKEN}x"}) as client:
            assert client.get("/v1/models").status_code == 401
        trace.collect(proxy, "while it runs")
        print_all(proxy, trace)
    trace.collect(proxy, "after the end")
    return trace


def test_no_secret_of_a_client_is_kept(launch: Launcher, mock: MockServer) -> None:
    """Keys, passwords and cookies of clients are in no file, log or output, wherever in the call they were."""
    trace = clients_trace(launch, mock)
    assert_searched(trace)
    trace.assert_without(CLIENT_SECRETS)
    # Masked by as many stars, so that the rest of a body stands where it stood.
    assert any(b"*" * len(BEARER) in text for name, text in trace.texts.items() if name.startswith("row "))


def test_no_secret_of_the_owner_is_kept(launch: Launcher, mock: MockServer) -> None:
    """The key and the token are in no file, log, output or process list."""
    trace = owners_trace(launch, mock)
    assert_searched(trace)
    trace.assert_without((OWNERS_KEY, TOKEN))


def assert_searched(trace: Trace) -> None:
    """Check that the search covers databases, their journals and every output: it finds other values there."""
    names = " ".join(trace.texts)
    for part in ("moonpalace.sqlite", "sqlite-wal", "sqlite-shm", "log", "output of mpal", "row "):
        assert part in names
    for part in ("sqlite", "output of mpal", "row "):
        assert any(b"mock-echo-key" in text for name, text in trace.texts.items() if part in name)
    for word in (b"mpal list -v", b"mpal inspect", b"--curl", b"curl", b"request_header", b"moonpalace_id"):
        assert word in trace.texts["output of mpal"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--key", f"{OWNERS_KEY} x"),
        ("--token", f"{TOKEN}\n", "--key", OWNERS_KEY),
        ("--upstream-proxy", f"socks5://user:{PASSWORD}@127.0.0.1:1"),
        ("--database", f"postgres://user:{PASSWORD}@127.0.0.1:1/x"),
        ("--key", OWNERS_KEY, "--nonsense"),
        ("--help", "--key", OWNERS_KEY),
    ],
)
def test_errors_do_not_repeat_secrets(launch: Launcher, flags: tuple[str, ...]) -> None:
    """The error for an invalid setting does not contain the setting's secret."""
    done = launch.run("start", "--port", "0", "--host", "192.0.2.1", *flags)
    said = done.stdout + done.stderr
    assert b"Traceback" not in said
    for secret in (OWNERS_KEY, TOKEN, PASSWORD):
        assert secret.encode() not in said

"""A proxy with a key: it sends the key upstream, but only for authorized clients."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

KEY = "sk-owner-key-0123456789abcdef"
TOKEN = "token-for-clients-0123456789"
CHAT = "/v1/chat/completions"
BODY = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def keyed(launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide a proxy with a key, which pages of one site may call."""
    options = ("--key", KEY, "--allow-origins", "https://app.example")
    with launch.start(*options, endpoint=mock.url, fresh=True) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide a proxy with a key and a token that listens on all addresses."""
    options = ("--host", "0.0.0.0", "--allow-origins", "https://app.example")
    extra = {"MOONPALACE_KEY": KEY, "MOONPALACE_TOKEN": TOKEN}
    with launch.start(*options, endpoint=mock.url, extra=extra) as running:
        yield running


def ask(proxy: Proxy, request_id: str, headers: dict[str, str]) -> httpx.Response:
    """Make a call without a key."""
    with proxy.client(headers={**headers, "X-Request-Id": request_id}) as client:
        return client.post(CHAT, json=BODY)


def upstream_headers(mock: MockServer, request_id: str) -> list[dict[str, str]]:
    """Return the headers of the calls that reached upstream."""
    return [dict(call.headers) for call in mock.calls_of(request_id)]


def assert_refused(answer: httpx.Response, status: int, mock: MockServer, request_id: str) -> None:
    """Check that a call was refused in the API's format, and did not reach upstream."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"]["message"]
    assert not upstream_headers(mock, request_id)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer sk-the-clients-own-key"},
        {"X-Api-Key": "sk-the-clients-own-key"},
        {"Authorization": "Bearer sk-the-clients-own-key", "x-api-key": "sk-another-key", "api-key": "sk-third-key"},
        {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="},
    ],
)
def test_upstream_gets_the_key_alone(mock: MockServer, keyed: Proxy, request_id: str, headers: dict[str, str]) -> None:
    """Whatever the client sends as its key, upstream only gets the configured one."""
    assert ask(keyed, request_id, headers).status_code == 200
    (sent,) = upstream_headers(mock, request_id)
    names = {name.lower(): value for name, value in sent.items()}
    assert names["authorization"] == f"Bearer {KEY}"
    assert not {"x-api-key", "api-key"} & set(names)
    row = keyed.row(request_id)
    assert row.state is State.COMPLETED
    assert row.changes
    assert KEY not in repr(row)


def test_one_fingerprint_stands_for_the_key(keyed: Proxy, request_id: str) -> None:
    """The row's fingerprint is that of the configured key, not of the client's."""
    ask(keyed, request_id + "a", {"Authorization": "Bearer sk-somebody"})
    ask(keyed, request_id + "b", {})
    prints = {keyed.row(request_id + letter).key_fingerprint for letter in "ab"}
    assert len(prints) == 1
    assert prints != {None}


def test_the_sdk_needs_no_key_of_its_own(keyed: Proxy) -> None:
    """The SDK works with any key."""
    with openai.OpenAI(base_url=f"{keyed.url}/v1", api_key="none", max_retries=0) as sdk:
        stream = sdk.chat.completions.create(
            model="mock-echo", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        assert "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices) == "Hello"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
def test_the_key_is_not_in_the_process_list(keyed: Proxy) -> None:
    """Other users of the machine cannot see a key given as a flag."""
    command = Path(f"/proc/{keyed.process.pid}/cmdline").read_bytes()
    assert b"start" in command
    assert KEY.encode() not in command


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://app.example"},
        {"Origin": "https://app.example.evil.example"},
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_web_pages_may_not_spend_the_key(
    mock: MockServer, keyed: Proxy, request_id: str, headers: dict[str, str]
) -> None:
    """Requests of pages of another site, or under another host name, get 403."""
    assert_refused(ask(keyed, request_id, headers), 403, mock, request_id)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://app.example"},
        {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"},
        {"Host": "localhost:9988"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:9988"},
        {"Host": "127.0.0.1"},
        {"Host": "host.docker.internal:9988"},
        {"Host": "app.example"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_others_may(mock: MockServer, keyed: Proxy, request_id: str, headers: dict[str, str]) -> None:
    """An allowed origin, the names of this machine and other programs pass."""
    assert ask(keyed, request_id, headers).status_code == 200
    assert len(upstream_headers(mock, request_id)) == 1


@pytest.mark.parametrize("headers", [{"Origin": "https://any.example"}, {"Host": "any.example"}])
def test_pages_are_refused_without_a_key_too(
    mock: MockServer, proxy: Proxy, request_id: str, headers: dict[str, str]
) -> None:
    """Pages can neither fill the store nor read a local model's answers under their own name."""
    refused = ask(proxy, request_id, {"Authorization": "Bearer sk-page", **headers})
    assert_refused(refused, 403, mock, request_id)
    assert "allow-origins" in refused.json()["error"]["message"]
    assert ask(proxy, f"{request_id}-2", {"Authorization": "Bearer sk-own"}).status_code == 200
    proxy.row(f"{request_id}-2")
    assert not [row for row in exchanges.latest(proxy.engine, limit=100) if row.client_request_id == request_id]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {KEY}"},
        {"X-Api-Key": TOKEN[:-1]},
        {"Authorization": "Bearer 月".encode().decode("latin-1")},
    ],
)
def test_who_has_no_token_gets_401(mock: MockServer, guarded: Proxy, request_id: str, headers: dict[str, str]) -> None:
    """Without the token nothing is forwarded."""
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    with guarded.client(headers={**encoded, b"X-Request-Id": request_id.encode()}) as client:
        answer = client.post(CHAT, json=BODY)
    assert_refused(answer, 401, mock, request_id)


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {TOKEN}"}, {"x-api-key": TOKEN}])
def test_who_has_the_token_spends_the_key(
    mock: MockServer, guarded: Proxy, request_id: str, headers: dict[str, str]
) -> None:
    """The token grants access and is not forwarded: upstream gets the key, and the store neither."""
    assert ask(guarded, request_id, headers).status_code == 200
    (sent,) = upstream_headers(mock, request_id)
    assert sent["Authorization"] == f"Bearer {KEY}"
    assert TOKEN not in repr(sent)
    row = guarded.row(request_id)
    assert TOKEN not in repr(row)
    assert KEY not in repr(row)


def test_the_token_is_wanted_of_allowed_pages_too(mock: MockServer, guarded: Proxy, request_id: str) -> None:
    """An allowed origin needs the token, too, except its preflight, which cannot carry one."""
    headers = {"Origin": "https://app.example", "X-Request-Id": request_id}
    assert_refused(ask(guarded, request_id, headers), 401, mock, request_id)
    with guarded.client(headers=headers) as client:
        client.options(CHAT, headers={"Access-Control-Request-Method": "POST"})
    (sent,) = upstream_headers(mock, request_id)
    assert "authorization" not in {name.lower() for name in sent}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--host", "0.0.0.0", "--key", KEY), "token"),
        (("--host", "::", "--key", KEY), "token"),
        (("--token", TOKEN), "key"),
    ],
)
def test_a_key_for_strangers_wants_a_token(launch: Launcher, options: tuple[str, ...], word: str) -> None:
    """A key on a reachable address without a token, or a token without a key, is refused in one line."""
    ended = launch.run("start", "--port", "0", *options)
    assert ended.returncode in (1, 2)
    assert ended.stdout == b""
    (line,) = ended.stderr.decode().splitlines()
    assert line.startswith("Error: ")
    assert word in line
    assert KEY not in line
    assert TOKEN not in line

"""Named endpoints of one proxy, in every way to run it, and the cost of their calls."""

from collections.abc import Iterator

import pytest

from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.state import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

KEY = "sk-e2e-endpoint-key-0123456789"
CHAT = "/v1/chat/completions"
BODY = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello"}]}
CONFIG = """
endpoints:
  first: {first}
  second: {{url: {second}, key: {key}, headers: {{X-Team: red}}, prices: {{"mock-*": {{input: 1, output: 2}}}}}}
  gateway: {first}/openai
  nowhere: http://127.0.0.1:1
prices:
  mock-*: {{input: 1000000, output: 2000000, currency: CNY}}
"""


@pytest.fixture(scope="module")
def second() -> Iterator[MockServer]:
    """Provide a second API."""
    with MockServer() as server:
        yield server


@pytest.fixture(scope="module", params=["start", "mitmproxy", "mitmdump", "mode"])
def named(request: pytest.FixtureRequest, launch: Launcher, mock: MockServer, second: MockServer) -> Iterator[Proxy]:
    """Provide a proxy for both: on our engine, on mitmproxy's server, as a script, and with an explicit mode."""
    file = launch.folder() / "config.yaml"
    file.write_text(CONFIG.format(first=mock.url, second=second.url, key=KEY), encoding="utf-8")
    extra = {"MOONPALACE_CONFIG": str(file)}
    if request.param in ("start", "mitmproxy"):
        engine = ("--engine", "mitmproxy") if request.param == "mitmproxy" else ()
        running = launch.start(*engine, extra=extra)
    else:
        mode = ("--mode", f"reverse:{mock.url}", "--listen-host", "127.0.0.1") if request.param == "mode" else ()
        running = launch.mitmproxy("mitmdump", "-p", "0", *mode, extra=extra)
    with running as proxy:
        yield proxy


def headers_at(api: MockServer, request_id: str) -> list[dict[str, str]]:
    """Return the headers with which a test's calls reached an API."""
    found = [dict(call.headers) for call in api.log if call.headers.get("X-Request-Id") == request_id]
    return [{name.lower(): value for name, value in headers.items()} for headers in found]


@pytest.mark.parametrize(
    ("prefix", "name", "currency"),
    [("", "first", "CNY"), ("/@first", "first", "CNY"), ("/@second", "second", "USD")],
)
def test_a_call_goes_where_its_path_says(
    named: Proxy, mock: MockServer, second: MockServer, request_id: str, prefix: str, name: str, currency: str
) -> None:
    """Each endpoint gets its calls, its key and its headers; the row has its name, its URL and the cost."""
    headers = {"Authorization": "Bearer sk-the-clients-own"}
    with named.client(headers=headers) as client:
        for stream in (False, True):
            identifier = f"{request_id}-s" if stream else request_id
            answer = client.post(prefix + CHAT, json=BODY | {"stream": stream}, headers={"X-Request-Id": identifier})
            assert answer.status_code == 200
    target, other = (second, mock) if name == "second" else (mock, second)
    for identifier in (request_id, f"{request_id}-s"):
        (sent,) = headers_at(target, identifier)
        assert not headers_at(other, identifier)
        assert sent["authorization"] == f"Bearer {KEY if name == 'second' else 'sk-the-clients-own'}"
        assert sent.get("x-team") == ("red" if name == "second" else None)
        assert sent["host"] == target.url.removeprefix("http://")
    row = named.row(request_id)
    assert (row.endpoint, row.endpoint_name, row.path) == (target.url, name, CHAT)
    assert row.prompt_tokens is not None
    assert row.completion_tokens is not None
    expected = row.prompt_tokens + 2 * row.completion_tokens
    assert row.cost == pytest.approx(expected if currency == "CNY" else expected / 1_000_000)
    assert row.cost_currency == currency


def test_an_endpoint_with_a_path(named: Proxy, mock: MockServer, request_id: str) -> None:
    """The path of an endpoint is put before that of its calls, upstream and in the row's URL."""
    with named.client() as client:
        client.post(f"/@gateway{CHAT}?a=1", json=BODY, headers={"X-Request-Id": request_id})
    assert [call.path for call in mock.calls_of(request_id)] == [f"/openai{CHAT}"]
    row = named.row(request_id)
    assert (row.endpoint, row.path, row.query) == (f"{mock.url}/openai", CHAT, "a=1")


def test_calls_in_turn_on_one_connection(named: Proxy, request_id: str) -> None:
    """A client that keeps its connection open reaches each endpoint that it names."""
    with named.client() as client:
        for number, prefix in enumerate(("", "/@second", "/@first", "/@second")):
            answer = client.post(prefix + CHAT, json=BODY, headers={"X-Request-Id": f"{request_id}-{number}"})
            assert answer.status_code == 200
    rows = [named.row(f"{request_id}-{number}").endpoint_name for number in range(4)]
    assert rows == ["first", "second", "first", "second"]


def test_trouble_names_the_endpoint(named: Proxy, request_id: str) -> None:
    """A call to an unknown name is refused and stored; the error for a silent endpoint names it."""
    with named.client() as client:
        unknown = client.post(f"/@secnod{CHAT}", json=BODY, headers={"X-Request-Id": f"{request_id}-u"})
        assert unknown.status_code == 404
        assert "config.yaml names first, second, gateway, nowhere" in unknown.json()["error"]["message"]
        away = client.post(f"/@nowhere{CHAT}", json=BODY, headers={"X-Request-Id": request_id})
        assert away.status_code == 502
        assert "http://127.0.0.1:1" in away.json()["error"]["message"]
    assert named.row(request_id).endpoint_name == "nowhere"
    refused = named.row(f"{request_id}-u")
    assert (refused.path, refused.state, outcome(refused).text) == (
        f"/@secnod{CHAT}",
        State.COMPLETED,
        "404, no endpoint is called secnod",
    )


def test_the_key_is_nowhere(named: Proxy, request_id: str) -> None:
    """Neither the store nor the log contains the key of an endpoint."""
    with named.client() as client:
        body = BODY | {"messages": [{"role": "user", "content": KEY}]}
        client.post(f"/@second{CHAT}", json=body, headers={"X-Request-Id": request_id})
    row = named.row(request_id)
    until(lambda: f"#{row.id} " in named.log.text)
    assert KEY not in named.log.text
    assert not [file for file in named.home.iterdir() if file.is_file() and KEY.encode() in file.read_bytes()]

"""Tests of sending calls to the endpoint that their path names."""

import json
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow, tutils

from moonpalace_addons.access import Access
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.configuration import REFUSED, Configuration
from moonpalace_addons.reverse_proxy import ReverseProxy
from moonpalace_addons.routing import Routing
from moonpalace_addons.settings.values import resolve
from tests.hostile import HOSTILE, assert_quoted

CONFIG = """
endpoints:
  kimi: https://api.moonshot.cn
  claude: {url: https://api.anthropic.com, key: sk-owner-key-1, headers: {X-Team: red}}
  gateway: {url: "http://gw:8080/openai", key: sk-owner-key-2}
"""
CHAT = "/v1/chat/completions"


@pytest.fixture
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    """Give a configuration with three endpoints and a token."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return Configuration(resolve({"token": "team-token-1"}, {"MOONPALACE_HOME": str(folder)}))


def call(path: str, key: str = "sk-client", mode: str = "reverse:https://api.moonshot.cn") -> HTTPFlow:
    """Return a call with this path."""
    headers = ((b"host", b"127.0.0.1:9988"), (b"authorization", f"Bearer {key}".encode()))
    request = tutils.treq(method=b"POST", scheme=b"https", host="api.moonshot.cn", port=443, headers=headers)
    request.path = path
    flow = tflow.tflow(req=request)
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    return flow


def passed(configuration: Configuration, flow: HTTPFlow) -> HTTPFlow:
    """Pass a call through the addons that handle endpoints, in the order of the bundle."""
    calls = Calls()
    access = Access(configuration, calls)
    access.requestheaders(flow)
    Routing(configuration).requestheaders(flow)
    if flow.response is None:
        calls.begin(Call(flow, 0, [], "", flow.request.path))
        ReverseProxy(configuration).requestheaders(flow)
        access.request(flow)
    return flow


@pytest.mark.parametrize(
    ("path", "key", "url", "name"),
    [
        (CHAT, "sk-client", f"https://api.moonshot.cn{CHAT}", "kimi"),
        (f"/@kimi{CHAT}?a=/@b", "sk-client", f"https://api.moonshot.cn{CHAT}?a=/@b", "kimi"),
        ("/@claude/v1/messages?beta=true", "team-token-1", "https://api.anthropic.com/v1/messages?beta=true", "claude"),
        (f"/@gateway{CHAT}", "team-token-1", f"http://gw:8080/openai{CHAT}", "gateway"),
        (f"/%40gateway{CHAT}", "team-token-1", f"http://gw:8080/openai{CHAT}", "gateway"),
        ("/@gateway", "team-token-1", "http://gw:8080/openai/", "gateway"),
        ("/@gateway?a=1", "team-token-1", "http://gw:8080/openai/?a=1", "gateway"),
    ],
)
def test_a_call_goes_to_its_endpoint(configuration: Configuration, path: str, key: str, url: str, name: str) -> None:
    """The name in the path determines the host and the path upstream; without one it is the first endpoint."""
    flow = passed(configuration, call(path, key))
    assert flow.response is None
    assert flow.request.url == url
    assert flow.request.host_header == url.split("/")[2]
    endpoint = configuration.endpoint_of(flow)
    assert endpoint.name == name


def test_each_endpoint_gets_what_is_its_own(configuration: Configuration) -> None:
    """Keys and headers are only sent to their endpoint, in the form that its host expects."""
    sent = [dict(passed(configuration, call(path, "team-token-1")).request.headers) for path in ("/v1", "/@claude/v1")]
    assert sent[0].keys() == {"host"}  # nor does the token go to an endpoint without a key
    assert sent[1] == {"host": "api.anthropic.com", "X-Api-Key": "sk-owner-key-1", "X-Team": "red"}
    gateway = passed(configuration, call("/@gateway/v1", "team-token-1")).request.headers
    assert gateway["Authorization"] == "Bearer sk-owner-key-2"
    own = passed(configuration, call("/@kimi/v1")).request.headers
    assert own["Authorization"] == "Bearer sk-client"


def test_a_key_is_guarded_under_its_name(configuration: Configuration) -> None:
    """The token is required if the endpoint has a key, whatever the first endpoint requires."""
    refused = passed(configuration, call("/@claude/v1/messages"))
    assert refused.response is not None
    assert refused.response.status_code == 401


def test_an_unknown_name(configuration: Configuration) -> None:
    """An unknown name is refused with a list of the known ones."""
    flow = passed(configuration, call("/@cluade/v1/messages"))
    assert flow.response is not None
    assert flow.response.status_code == 404
    assert "config.yaml names kimi, claude, gateway" in json.dumps(json.loads(flow.response.content or b""))


def test_an_unknown_name_is_quoted_with_care(configuration: Configuration) -> None:
    """The answer to the client, and the row, repeat only a little of a name, and no key."""
    flow = passed(configuration, call(f"/@{HOSTILE}/v1/messages"))
    assert flow.response is not None
    assert_quoted(json.loads(flow.response.content or b"")["error"]["message"])
    assert_quoted(flow.metadata[REFUSED])


def test_without_names_nothing_changes() -> None:
    """If no endpoint has a name, paths of this form are the API's."""
    configuration = Configuration(resolve({}, {"MOONPALACE_HOME": "/nowhere"}))
    assert passed(configuration, call("/@x/v1")).request.path == "/@x/v1"


def test_a_forward_proxy(configuration: Configuration) -> None:
    """In forward mode, the host that a client calls determines the endpoint, and the path is the client's."""
    flow = call("/openai/v1/models", mode="regular")
    flow.request.host, flow.request.port, flow.request.scheme = "gw", 8080, "http"
    endpoint = configuration.endpoint_of(flow)
    assert configuration.concerns(flow)
    assert (endpoint.name, endpoint.url, endpoint.key) == ("gateway", "http://gw:8080", "sk-owner-key-2")


@pytest.mark.parametrize("name", ["claude", "nobody"])
def test_a_forward_proxy_knows_no_names(configuration: Configuration, name: str) -> None:
    """In forward mode a path that looks like a name is the API's, and no endpoint's key is sent to another host."""
    flow = call(f"/@{name}/v1/messages", "team-token-1", mode="regular")
    flow.request.host, flow.request.port, flow.request.scheme = "gw", 8080, "http"
    sent = passed(configuration, flow).request
    assert flow.response is None
    assert (sent.host, sent.path) == ("gw", f"/@{name}/v1/messages")
    assert sent.headers["Authorization"] == "Bearer sk-owner-key-2"
    assert "X-Api-Key" not in sent.headers
    assert "X-Team" not in sent.headers


@pytest.mark.parametrize(
    ("path", "name", "key"),
    [
        ("/v1/models", "one", "sk-key-1"),
        ("/coding", "two", "sk-key-2"),
        ("/coding/v1/models?a=/v1", "two", "sk-key-2"),
        ("/codings/v1/models", "one", "sk-key-1"),
    ],
)
def test_a_forward_proxy_with_endpoints_at_one_host(tmp_path: Path, path: str, name: str, key: str) -> None:
    """In forward mode, the path of a call chooses between endpoints at one host, and so the key."""
    (tmp_path / "config.yaml").write_text(
        "endpoints:\n"
        "  one: {url: https://api.moonshot.cn, key: sk-key-1}\n"
        "  two: {url: https://api.moonshot.cn/coding, key: sk-key-2}\n"
        "  copy: {url: https://api.moonshot.cn, key: sk-key-3}\n"
        "  far: {url: https://gw/a, key: sk-key-4}\n"
        "  away: {url: https://gw/b, key: sk-key-5}\n",
        encoding="utf-8",
    )
    configuration = Configuration(resolve({"token": "team-token-1"}, {"MOONPALACE_HOME": str(tmp_path)}))
    flow = call(path, mode="regular")
    found = configuration.endpoint_of(flow)
    assert (found.name, found.key, found.url) == (name, key, "https://api.moonshot.cn")
    flow.request.host = "gw"
    assert configuration.concerns(flow)
    assert configuration.endpoint_of(flow).key is None


@pytest.mark.parametrize(
    ("site", "key"),
    [
        ("https://api.anthropic.com", ("X-Api-Key", "sk-owner-key-1")),
        ("https://other.example", ("Authorization", "Bearer sk-client")),
    ],
)
def test_a_mode_of_the_user(tmp_path: Path, site: str, key: tuple[str, str]) -> None:
    """The server of a mode gets the key of the same endpoint, and never that of another one."""
    (tmp_path / "config.yaml").write_text(
        "endpoints:\n"
        "  kimi: {url: https://api.moonshot.cn, key: sk-owner-key-0}\n"
        "  claude: {url: https://api.anthropic.com, key: sk-owner-key-1}\n",
        encoding="utf-8",
    )
    configuration = Configuration(resolve({}, {"MOONPALACE_HOME": str(tmp_path)}))
    flow = call(CHAT, mode=f"reverse:{site}")
    flow.client_conn.peername = flow.client_conn.sockname = ("127.0.0.1", 1)
    assert passed(configuration, flow).request.headers[key[0]] == key[1]
    assert b"sk-owner-key-0" not in bytes(flow.request.headers)


def test_the_owners_secrets(configuration: Configuration) -> None:
    """All keys and the token are masked wherever they occur."""
    assert set(configuration.own_secrets()) == {b"sk-owner-key-1", b"sk-owner-key-2", b"team-token-1"}

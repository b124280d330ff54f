"""Access control of a proxy with a key."""

import hmac
import json
import logging
from collections.abc import Callable

import pytest
from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow, tutils

from moonpalace_addons import access
from moonpalace_addons.access import Access, has_token
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.settings.values import Settings, resolve
from tests.hostile import HOSTILE, assert_quoted
from tests.tables import for_each

KEY = "sk-the-owners-own-key"
TOKEN = "team-token-0123456789"
LOCAL = {"Host": "127.0.0.1:9988"}
BEARER = {**LOCAL, "Authorization": f"Bearer {TOKEN}"}


def settings(**given: str) -> Settings:
    """Return settings with a key; others are given by their names with `_`."""
    values: dict[str, object | None] = {name.replace("_", "-"): value for name, value in ({"key": KEY} | given).items()}
    return resolve(values, {"MOONPALACE_HOME": "/nowhere"})


def unkeyed(**given: str) -> Settings:
    """Return settings without a key unless it is given."""
    return resolve({name.replace("_", "-"): value for name, value in given.items()}, {"MOONPALACE_HOME": "/nowhere"})


def a_flow(headers: dict[str, str], method: str = "POST", mode: str = "reverse:https://api.moonshot.cn") -> HTTPFlow:
    """Return a call that a client makes with these headers."""
    fields = Headers([(name.encode(), value.encode()) for name, value in headers.items()])
    request = tutils.treq(method=method.encode(), host="api.moonshot.cn", port=443, headers=fields)
    request.path = "/v1/chat/completions?api_key=secret"
    flow = tflow.tflow(req=request)
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    flow.client_conn.sockname = ("127.0.0.1", 9988)
    return flow


def send_headers(flow: HTTPFlow, chosen: Settings, names: frozenset[str] = frozenset()) -> Access:
    """Send the headers of a call through the access control of a proxy with these host names."""
    guard = Access(Configuration(chosen), Calls())
    guard.configuration.names = names
    guard.requestheaders(flow)
    return guard


def status(flow: HTTPFlow) -> int | None:
    """Return the status of the refusal, None if there is none."""
    return flow.response.status_code if flow.response else None


ALLOW = {"allow_origins": "https://app.example,http://localhost:3000"}
WITH_TOKEN = {"token": TOKEN}

DECISIONS: list[tuple[dict[str, str], str, dict[str, str], int | None]] = [
    # Programs send no Origin.
    ({}, "POST", LOCAL, None),
    ({}, "GET", LOCAL, None),
    # Pages do.
    ({}, "POST", {**LOCAL, "Origin": "https://evil.example"}, 403),
    ({}, "GET", {**LOCAL, "Origin": "https://evil.example"}, 403),
    ({}, "OPTIONS", {**LOCAL, "Origin": "https://evil.example"}, 403),
    ({}, "POST", {**LOCAL, "Origin": "null"}, 403),
    ({}, "POST", {**LOCAL, "Origin": ""}, 403),
    ({}, "POST", {**LOCAL, "Origin": "http://127.0.0.1:9988"}, 403),
    (ALLOW, "POST", {**LOCAL, "Origin": "https://app.example"}, None),
    (ALLOW, "POST", {**LOCAL, "Origin": "HTTPS://App.Example"}, None),
    (ALLOW, "POST", {**LOCAL, "Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, None),
    (ALLOW, "POST", {**LOCAL, "Origin": "http://localhost:3001"}, 403),
    (ALLOW, "POST", {**LOCAL, "Origin": "http://app.example"}, 403),
    (ALLOW, "POST", {**LOCAL, "Origin": "https://app.example.evil.example"}, 403),
    (ALLOW, "POST", {**LOCAL, "Origin": "https://app.example:444"}, 403),
    ({"allow_origins": "*"}, "POST", {**LOCAL, "Origin": "https://any.example"}, None),
    ({"allow_origins": "*"}, "POST", {"Host": "any.example", "Origin": "https://any.example"}, 403),
    # A GET that a page makes without CORS carries no Origin, but browsers say where it comes from.
    ({}, "GET", {**LOCAL, "Sec-Fetch-Site": "cross-site"}, 403),
    ({}, "GET", {**LOCAL, "Sec-Fetch-Site": "same-site"}, 403),
    ({}, "GET", {**LOCAL, "Sec-Fetch-Site": "same-origin"}, None),
    ({}, "GET", {**LOCAL, "Sec-Fetch-Site": "none"}, None),
    # A page that rebinds its own name to our address.
    ({}, "POST", {"Host": "evil.example:9988"}, 403),
    ({}, "POST", {}, 403),
    # The token, which may come in either header.
    (WITH_TOKEN, "POST", LOCAL, 401),
    (WITH_TOKEN, "POST", BEARER, None),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": f"bearer   {TOKEN} "}, None),
    (WITH_TOKEN, "POST", {**LOCAL, "X-Api-Key": TOKEN}, None),
    (WITH_TOKEN, "POST", {**LOCAL, "X-Api-Key": TOKEN, "Authorization": "Bearer sk-other"}, None),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": f"Basic {TOKEN}"}, 401),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": TOKEN}, 401),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": f"Bearer {TOKEN}x"}, 401),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": f"Bearer {TOKEN.upper()}"}, 401),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": "Bearer"}, 401),
    (WITH_TOKEN, "POST", {**LOCAL, "Authorization": f"Bearer {KEY}"}, 401),
    (WITH_TOKEN, "POST", {**LOCAL, "X-Api-Key": "Schlüssel"}, 401),
    (WITH_TOKEN, "POST", {**BEARER, "Origin": "https://evil.example"}, 403),
    # The question before a page's call carries no token; an allowed page's must pass, another's not.
    ({**WITH_TOKEN, **ALLOW}, "OPTIONS", {**LOCAL, "Origin": "https://app.example"}, None),
    ({**WITH_TOKEN, **ALLOW}, "POST", {**LOCAL, "Origin": "https://app.example"}, 401),
]


@for_each(("given", "method", "headers", "expected"), DECISIONS)
def test_decision(given: dict[str, str], method: str, headers: dict[str, str], expected: int | None) -> None:
    """Only programs, allowed pages, and holders of the token, if there is one, reach the API."""
    flow = a_flow(headers, method)
    send_headers(flow, settings(**given))
    assert status(flow) == expected


@for_each("given", [{}, {"key": KEY}])
@for_each(
    ("headers", "more", "expected"),
    [
        ({"Host": "app.example"}, ALLOW, None),
        ({"Host": "app.example"}, {"allow_origins": "*"}, 403),
        ({"Host": "mybox.corp.example"}, {}, None),
        ({"Host": "host.docker.internal:9988"}, {}, None),
        ({"Host": "192.168.1.5:9988"}, {}, None),
        ({"Host": "evil.example", "Authorization": "Bearer sk-own"}, {}, 403),
        ({**LOCAL, "Origin": "https://evil.example", "Authorization": "Bearer sk-own"}, {}, 403),
        ({**LOCAL, "Origin": "https://app.example"}, ALLOW, None),
        ({**LOCAL, "Sec-Fetch-Site": "cross-site"}, {}, 403),
    ],
)
def test_pages_are_refused_with_or_without_a_key(
    given: dict[str, str], headers: dict[str, str], more: dict[str, str], expected: int | None
) -> None:
    """A page that may not call could fill the store, or read the answers of a local model, with or without a key."""
    flow = a_flow(headers)
    send_headers(flow, unkeyed(**given, **more), names=frozenset({"mybox.corp.example"}))
    assert status(flow) == expected


@for_each(
    ("local", "peer", "expected"),
    [
        (("127.0.0.1", 9988), ("127.0.0.1", 50000), None),
        (("::1", 9988, 0, 0), ("::1", 50000, 0, 0), None),
        (("::ffff:127.0.0.1", 9988, 0, 0), ("::ffff:127.0.0.1", 50000, 0, 0), None),
        (("192.168.1.5", 9988), ("192.168.1.7", 50000), 403),
        (("192.168.1.5", 9988), ("192.168.1.5", 50000), 403),
        (("127.0.0.1", 9988), ("192.168.1.7", 50000), 403),
        (None, ("127.0.0.1", 50000), 403),
    ],
)
@for_each("mode", ["reverse:https://api.moonshot.cn", "regular@8080"])
def test_strangers_do_not_spend_the_key(
    mode: str, local: tuple[str, int], peer: tuple[str, int], expected: int
) -> None:
    """Whatever the settings say about addresses, without a token the key is only for local connections."""
    flow = a_flow(LOCAL, mode=mode)
    flow.client_conn.sockname, flow.client_conn.peername = local, peer
    guard = send_headers(flow, settings())
    begin(guard, flow)
    guard.request(flow)
    assert status(flow) == expected
    assert ("authorization" in flow.request.headers) is (expected is None)
    opened = a_flow(BEARER, mode=mode)
    opened.client_conn.sockname, opened.client_conn.peername = local, peer
    send_headers(opened, settings(token=TOKEN))
    assert status(opened) is None


def test_refusal_speaks_the_apis_language(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is JSON in the API's format; neither it nor the log repeats data from the client."""
    flow = a_flow({**LOCAL, "Authorization": "Bearer sk-guess"})
    send_headers(flow, settings(token=TOKEN))
    assert flow.response is not None
    assert flow.response.headers["content-type"] == "application/json"
    error = json.loads(flow.response.content or b"")["error"]
    assert error == {"message": "this proxy requires its token as the API key", "type": "incorrect_api_key_error"}
    assert caplog.messages == ["refused POST /v1/chat/completions: this proxy requires its token as the API key"]


def test_a_refused_path_is_quoted_with_care(caplog: pytest.LogCaptureFixture) -> None:
    """The log has one short line with the path, without the keys in it, however long it is."""
    flow = a_flow(LOCAL)
    flow.request.path = f"/v1/{HOSTILE}"
    send_headers(flow, settings(token=TOKEN))
    (message,) = caplog.messages
    assert_quoted(message)


def test_fault_refuses(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """If the check itself fails, the call is refused and the fault is logged."""

    def fail(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(access, "is_own_name", fail)
    flow = a_flow(LOCAL)
    send_headers(flow, settings())
    assert status(flow) == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


def test_fault_before_the_check_spends_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it cannot even be determined whether a flow is a call, the key is not sent."""
    guard = Access(Configuration(settings()), Calls())
    monkeypatch.setattr(guard.configuration, "concerns", lambda _: 1 / 0)
    flow = a_flow(LOCAL)
    with pytest.raises(ZeroDivisionError):  # mitmproxy logs it, and calls no further addon for this hook
        guard.requestheaders(flow)
    guard.request(flow)
    assert "authorization" not in flow.request.headers


def test_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every comparison uses hmac.compare_digest, and all headers are compared even if the first one matches."""
    compared: list[tuple[bytes, bytes]] = []
    genuine: Callable[[bytes, bytes], bool] = hmac.compare_digest

    def compare(sent: bytes, expected: bytes) -> bool:
        compared.append((sent, expected))
        return genuine(sent, expected)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert has_token(a_flow({**BEARER, "X-Api-Key": "other"}), TOKEN)
    assert compared == [(sent, TOKEN.encode()) for sent in (TOKEN.encode(), b"other", b"")]


def test_without_a_key_clients_use_their_own() -> None:
    """A proxy without a key changes nothing in what a client sends."""
    flow = a_flow({**LOCAL, "Authorization": "Bearer sk-own"})
    guard = send_headers(flow, unkeyed())
    begin(guard, flow)
    guard.request(flow)
    assert status(flow) is None
    assert flow.request.headers["authorization"] == "Bearer sk-own"


def test_the_host_that_is_listened_on_is_known() -> None:
    """A proxy that listens on a host name accepts calls under this name."""
    flow = a_flow({"Host": "proxy.example:9988"})
    send_headers(flow, unkeyed(host="proxy.example"))
    assert status(flow) is None


def test_pages_may_call_through_a_forward_proxy_of_their_user() -> None:
    """No page can choose a browser's proxy: without a key, pages call the API as they would without the proxy."""
    flow = a_flow({"Host": "api.moonshot.cn", "Origin": "https://app.example"}, mode="regular")
    send_headers(flow, unkeyed())
    assert status(flow) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "api.moonshot.cn"}, None),
        ({"Host": "api.moonshot.cn", "Origin": "https://evil.example"}, 403),
        ({"Host": "api.moonshot.cn", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_forward_proxy_has_no_name_of_its_own(headers: dict[str, str], expected: int | None) -> None:
    """In forward mode the Host is the API's and proves nothing; pages are still refused."""
    flow = a_flow(headers, mode="regular")
    send_headers(flow, settings())
    assert status(flow) == expected


def test_other_hosts_are_left_alone() -> None:
    """In forward mode calls to other hosts are neither refused nor given the key."""
    flow = a_flow({"Host": "other.example", "Origin": "https://evil.example"}, mode="regular")
    flow.request.host = "other.example"
    guard = send_headers(flow, settings())
    guard.request(flow)
    assert status(flow) is None
    assert "authorization" not in flow.request.headers


def begin(guard: Access, flow: HTTPFlow) -> Call:
    """Begin the call of a flow as the capture does."""
    call = Call(flow, 0, [], "", "/")
    guard.calls.begin(call)
    return call


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Authorization": "Bearer sk-clients"},
        {"authorization": "Basic dXNlcjpwYXNzd29yZA=="},
        {"X-Api-Key": "sk-clients"},
        {"API-KEY": "sk-clients"},
        {"Authorization": "Bearer sk-clients", "AUTHORIZATION": "Bearer sk-twice", "x-api-key": "sk-clients"},
    ],
)
def test_key_replaces_what_the_client_sent(sent: dict[str, str]) -> None:
    """Upstream gets the key in one Authorization header, and no other credential; the call notes it."""
    guard = Access(Configuration(settings()), Calls())
    flow = a_flow({**LOCAL, "X-Request-Id": "r-1", **sent})
    call = begin(guard, flow)
    guard.request(flow)
    names = [name.lower() for name, _ in flow.request.headers.fields]
    assert names == [b"host", b"x-request-id", b"authorization"]
    assert flow.request.headers["authorization"] == f"Bearer {KEY}"
    assert call.upstream_key == KEY
    assert call.changes == ["authorization: set to the configured key"]


def test_preflight_gets_no_key() -> None:
    """The preflight request of a browser is forwarded without the key."""
    guard = Access(Configuration(settings(allow_origins="*")), Calls())
    flow = a_flow({**LOCAL, "Origin": "https://app.example"}, "OPTIONS")
    call = begin(guard, flow)
    guard.request(flow)
    assert "authorization" not in flow.request.headers
    assert call.upstream_key is None


@for_each("header", ["Authorization", "X-Api-Key", "Api-Key"])
@for_each("method", ["OPTIONS", "POST"])
@for_each("key", [None, KEY])
def test_the_token_stays_here(header: str, method: str, key: str | None) -> None:
    """The token is never sent to an endpoint, with or without a key, in any header and method."""
    given = {"token": TOKEN} | ({"key": key} if key else {})
    value = f"Bearer {TOKEN}" if header == "Authorization" else TOKEN
    flow = a_flow({**LOCAL, header: value}, method)
    guard = send_headers(flow, settings(**given))
    assert flow.response is None
    begin(guard, flow)
    guard.request(flow)
    assert TOKEN.encode() not in bytes(flow.request.headers)


def test_refused_call_gets_no_key() -> None:
    """A call that is refused never carries the key."""
    flow = a_flow({"Host": "evil.example"})
    guard = send_headers(flow, settings())
    begin(guard, flow)
    guard.request(flow)
    assert "authorization" not in flow.request.headers

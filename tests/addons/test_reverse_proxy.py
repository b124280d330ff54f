"""mitmproxy as a reverse proxy: its options, the announced address, the route to the endpoint."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mitmproxy import connection
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import taddons, tflow

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.reverse_proxy import OutgoingProxy, ReverseProxy, mitmproxy_options, reverse_mode
from moonpalace_addons.settings.values import Settings, resolve


def settings(environ: dict[str, str] | None = None, **given: str) -> Settings:
    """Return settings, given by their names with `_`."""
    values: dict[str, object | None] = {name.replace("_", "-"): value for name, value in given.items()}
    return resolve(values, {"MOONPALACE_HOME": "/nowhere", **(environ or {})})


@contextmanager
def mitmproxy(*addons: object, **options: object) -> Iterator[taddons.context]:
    """Return a mitmproxy with these options."""
    with taddons.context(Proxyserver(), *addons) as context:
        context.options.update(**options)
        yield context


# ---- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("engine", "mode"), [("moonpalace", "moonpalace"), ("mitmproxy", "reverse")])
def test_options_of_a_reverse_proxy(engine: str, mode: str) -> None:
    """Without a mode from the user, mitmproxy becomes a reverse proxy with the options that our addons need."""
    with mitmproxy():
        chosen = mitmproxy_options(settings(port="1234", idle_timeout="900.5", insecure="true", engine=engine))
    assert chosen == {
        "mode": [f"{mode}:https://api.moonshot.cn"],
        "listen_host": "127.0.0.1",
        "listen_port": 1234,
        "connection_strategy": "lazy",
        "http2": False,
        "keep_host_header": True,
        "tcp_timeout": 960,
        "ssl_insecure": True,
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", ["reverse:http://localhost:1"]),
        ("listen_host", ""),
        ("listen_port", 8080),
        ("connection_strategy", "eager"),
        ("http2", True),
        ("tcp_timeout", 600),
        ("ssl_insecure", False),
    ],
)
def test_what_the_user_set_stays(option: str, value: object) -> None:
    """An option set by the user, even to its default, is kept; the others are set."""
    with mitmproxy(**{option: value}):
        chosen = mitmproxy_options(settings())
    assert option not in chosen
    assert len(chosen) == 7


def test_host_header_is_ours() -> None:
    """The client's Host is kept until it is checked, whatever the user wants upstream to get."""
    with mitmproxy(keep_host_header=False):
        assert mitmproxy_options(settings())["keep_host_header"] is True


def test_forward_proxy_stays_the_users_own() -> None:
    """A user's forward proxy keeps its address and its handling of other hosts; limits and trust are set."""
    with mitmproxy(mode=["regular@8080"]):
        assert set(mitmproxy_options(settings())) == {"tcp_timeout", "ssl_insecure"}


def test_certificate_authorities(tmp_path: Path) -> None:
    """The setting upstream-ca becomes mitmproxy's list of trusted authorities."""
    file = tmp_path / "ca.pem"
    file.write_text("a certificate")
    with mitmproxy():
        assert mitmproxy_options(settings(upstream_ca=str(file)))["ssl_verify_upstream_trusted_ca"] == str(file)


def test_viewers_keep_streams() -> None:
    """Where flows are shown, streamed bodies are kept; mitmdump keeps none."""
    with mitmproxy(View()):
        assert mitmproxy_options(settings())["store_streamed_bodies"] is True


@pytest.mark.parametrize("endpoint", ["https://api.moonshot.ai", "http://127.0.0.1:9990"])
def test_reverse_mode_listens_on_tcp_only(endpoint: str) -> None:
    """The mode parses to the endpoint and opens no UDP socket for HTTP/3."""
    with mitmproxy():
        mitmproxy_options(settings(endpoint=endpoint))
    mode = ProxyMode.parse(reverse_mode(settings(endpoint=endpoint)))
    assert mode.transport_protocol == "tcp"


# ---- start --------------------------------------------------------------------------------------------------------


def test_without_settings_nothing_starts() -> None:
    """With invalid settings mitmproxy is about to exit: no option is changed."""
    with mitmproxy() as context:
        asyncio.run(ReverseProxy(Configuration()).running())
        assert context.options.mode == ["regular"]


# ---- calls --------------------------------------------------------------------------------------------------------


def requested(mode: str, addon: ReverseProxy | None = None) -> HTTPFlow:
    """Return a call whose headers have passed the addon."""
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    flow.request.host_header = "localhost:9988"
    (addon or ReverseProxy(Configuration(settings()))).requestheaders(flow)
    return flow


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("reverse:https://api.moonshot.cn", "api.moonshot.cn"),
        ("reverse:https://api.moonshot.cn:8443", "api.moonshot.cn:8443"),
        ("reverse:http://127.0.0.1:9990", "127.0.0.1:9990"),
        ("reverse:http://localhost:80", "localhost"),
        ("reverse:http://localhost:443", "localhost:443"),
        ("reverse:http://[::1]:9990", "[::1]:9990"),
    ],
)
def test_host_header_is_the_endpoints(mode: str, expected: str) -> None:
    """Upstream gets its own name as Host, with a port only if it is not the default."""
    assert requested(mode).request.host_header == expected


def test_other_hosts_calls_are_left_alone() -> None:
    """In forward mode a call to another host keeps its Host and its route."""
    addon = ReverseProxy(Configuration(settings()))
    addon.proxy = OutgoingProxy("http://proxy:3128")
    flow = requested("regular", addon)
    assert flow.request.host_header == "localhost:9988"
    assert flow.server_conn.via is None


def test_sni_is_the_endpoints_name() -> None:
    """In reverse mode the SNI is the endpoint's name, whatever name the client used for the proxy."""
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse("reverse:https://api.moonshot.cn")
    server = connection.Server(address=("api.moonshot.cn", 443), tls=True, sni="localhost")
    ReverseProxy(Configuration(settings())).server_connect(ServerConnectionHookData(server, flow.client_conn))
    assert server.sni == "api.moonshot.cn"


@pytest.mark.parametrize(("mode", "tls"), [("regular", True), ("reverse:http://localhost", False)])
def test_sni_stays_elsewhere(mode: str, tls: bool) -> None:
    """A forward proxy's names, and connections without TLS, are unchanged."""
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    server = connection.Server(address=("localhost", 80), tls=tls, sni="as.it.was")
    ReverseProxy(Configuration(settings())).server_connect(ServerConnectionHookData(server, flow.client_conn))
    assert server.sni == "as.it.was"


# ---- the outgoing proxy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address", "authorization"),
    [
        ("http://proxy:3128", ("http", ("proxy", 3128)), None),
        ("http://proxy", ("http", ("proxy", 80)), None),
        ("https://proxy", ("https", ("proxy", 443)), None),
        ("http://[fd00::1]:3128", ("http", ("fd00::1", 3128)), None),
        ("http://user:password@proxy:3128", ("http", ("proxy", 3128)), "Basic dXNlcjpwYXNzd29yZA=="),
        ("http://user@proxy:3128", ("http", ("proxy", 3128)), "Basic dXNlcjo="),
        ("http://us%40er:p%3Aw@proxy:3128", ("http", ("proxy", 3128)), "Basic dXNAZXI6cDp3"),
    ],
)
def test_outgoing_proxy(url: str, address: object, authorization: str | None) -> None:
    """The URL of an outgoing proxy gives its address, with the default port of its scheme, and its password."""
    proxy = OutgoingProxy(url)
    assert (proxy.address, proxy.authorization) == (address, authorization)


ENVIRONMENTS: list[tuple[dict[str, str], dict[str, str], tuple[str, int] | None]] = [
    ({}, {}, None),
    ({"HTTPS_PROXY": "http://p:1"}, {}, ("p", 1)),
    ({"https_proxy": "http://p:1"}, {}, ("p", 1)),
    ({"ALL_PROXY": "p:1"}, {}, ("p", 1)),
    ({"HTTP_PROXY": "http://p:1"}, {}, None),
    ({"HTTP_PROXY": "http://p:1"}, {"endpoint": "http://api.example"}, ("p", 1)),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "moonshot.cn"}, {}, None),
    ({"HTTPS_PROXY": "http://p:1"}, {"endpoint": "https://localhost:1"}, None),
    ({"HTTPS_PROXY": "http://p:1"}, {"upstream_proxy": "http://q:2"}, ("q", 2)),
    ({"HTTPS_PROXY": "http://p:1"}, {"upstream_proxy": "none"}, None),
    ({"HTTPS_PROXY": "http://p:80"}, {}, ("p", 80)),
]


@pytest.mark.parametrize(("environ", "given", "expected"), ENVIRONMENTS)
def test_way_to_the_endpoint(
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    given: dict[str, str],
    expected: tuple[str, int] | None,
) -> None:
    """Calls use the proxy from the setting, else from the environment; the word none disables it."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)  # it must not matter what is there when the proxy starts
    chosen = settings(environ, port="0", **given)
    addon = ReverseProxy(Configuration(chosen))

    async def run() -> None:
        with taddons.context(Proxyserver(), addon) as context:
            context.options.update(server=False)
            await addon.running()

    asyncio.run(run())
    flow = requested(reverse_mode(chosen), addon)
    assert (flow.server_conn.via[1] if flow.server_conn.via else None) == expected


def test_outgoing_proxy_gets_its_password() -> None:
    """The password is sent to the proxy with the CONNECT, and with nothing else."""
    addon = ReverseProxy(Configuration(settings()))
    connect = tflow.tflow()
    addon.http_connect_upstream(connect)
    assert "proxy-authorization" not in connect.request.headers
    addon.proxy = OutgoingProxy("http://user:password@proxy:3128")
    addon.http_connect_upstream(connect)
    assert connect.request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNzd29yZA=="
    assert "proxy-authorization" not in requested("reverse:https://api.moonshot.cn", addon).request.headers

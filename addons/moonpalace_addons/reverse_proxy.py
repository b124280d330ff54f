"""Configure mitmproxy as a reverse proxy to the endpoint."""

import base64
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote, urlsplit

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow
from mitmproxy.net.server_spec import ServerSpec
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.engine.limits import Limits
from moonpalace_addons.engine.targets import authority_of
from moonpalace_addons.mitm.headers import set_host
from moonpalace_addons.mitm.own_requests import is_own
from moonpalace_addons.mitm.proxy_server import listen_on_tcp_only, proxyserver, was_set
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.values import Settings

OUR_MODES = ("reverse", "moonpalace")


class ReverseProxy:
    """Set mitmproxy's options from the settings, and address calls to the endpoint."""

    name = "moonpalace-reverse-proxy"

    def __init__(self, configuration: Configuration, *, opens: bool = False) -> None:
        self.configuration = configuration
        self.opens = opens
        """Whether this addon opens the socket, because mitmproxy was started without a mode."""
        self.proxy: OutgoingProxy | None = None
        self.others: Mapping[tuple[str, int], OutgoingProxy | None] = {}
        """The outgoing proxies of named endpoints, by host and port."""

    async def running(self) -> None:
        """Take over the listening socket unless the user chose a mode."""
        if not self.configuration.ready:
            return
        settings = self.configuration.settings
        self.proxy = proxy_of(settings.endpoints[0])
        self.others = {each.address[1:]: proxy_of(each) for each in settings.endpoints[1:]}
        ctx.options.update(**mitmproxy_options(settings))
        if self.opens:
            ctx.options.update(server=True)
        await proxyserver().setup_servers()  # wait for the change that setting the options has started

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Address the call to the endpoint, through the outgoing proxy if there is one."""
        is_ours = is_own(flow)
        if not is_ours and not self.configuration.concerns(flow):
            return
        if isinstance(flow.client_conn.proxy_mode, ReverseMode):
            if not is_ours:
                address_to(flow, self.configuration.endpoint_of(flow))
            # mitmproxy would do this before the client's Host could be checked; see keep_host_header below.
            set_host(flow.request, authority_of(flow.request.scheme, flow.request.host, flow.request.port))
        if self.proxy is not None or self.others:
            proxy = self._proxy_of(flow)
            flow.server_conn.via = proxy.address if proxy else None

    def _proxy_of(self, flow: HTTPFlow) -> "OutgoingProxy | None":
        return self.others.get((flow.request.host, flow.request.port), self.proxy) if self.others else self.proxy

    def http_connect_upstream(self, flow: HTTPFlow) -> None:
        """Add the credentials for the outgoing proxy."""
        proxy = self._proxy_of(flow)
        if proxy is not None and proxy.authorization is not None:
            flow.request.headers["Proxy-Authorization"] = proxy.authorization

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Send the endpoint's own name as SNI, whatever name the client used for the proxy."""
        if isinstance(data.client.proxy_mode, ReverseMode) and data.server.tls and data.server.address:
            data.server.sni = data.server.address[0]


def address_to(flow: HTTPFlow, endpoint: Endpoint) -> None:
    """Send a call to its endpoint, whose own path precedes that of the call."""
    scheme, host, port = endpoint.address
    request = flow.request
    if (request.host, request.port, request.scheme) != (host, port, scheme):
        request.scheme, request.host, request.port = scheme, host, port
    if endpoint.prefix:
        request.path = endpoint.prefix + request.path


class OutgoingProxy:
    """The HTTP proxy in front of the endpoint, from a validated URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        self.address: ServerSpec = (scheme, (parts.hostname or "", parts.port or (443 if scheme == "https" else 80)))
        self.authorization: str | None = None
        if parts.username is not None:
            plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.authorization = "Basic " + base64.b64encode(plain.encode()).decode()


def proxy_of(endpoint: Endpoint) -> OutgoingProxy | None:
    """Return the outgoing proxy of an endpoint, if it has one."""
    return OutgoingProxy(endpoint.proxy) if endpoint.proxy else None


def mitmproxy_options(settings: Settings) -> dict[str, object]:
    """Return the mitmproxy options that follow from the settings, except those that the user set."""
    options: dict[str, object] = {
        "mode": [server_mode(settings)],
        "listen_host": settings.host,
        "listen_port": settings.port,
        "connection_strategy": "lazy",  # a bare connect to us must not open a connection to the API
        "http2": False,  # ending a live answer early works with HTTP/1.1 only
        "tcp_timeout": int(settings.idle_timeout) + 60,  # ours, which sends an error, must fire first
        "ssl_insecure": settings.insecure,
    }
    if settings.upstream_ca is not None:
        options["ssl_verify_upstream_trusted_ca"] = str(settings.upstream_ca)
    if ctx.master.addons.get("view") is not None:  # mitmweb and mitmproxy show bodies; mitmdump keeps no flows
        options["store_streamed_bodies"] = True
    chosen = {name: value for name, value in options.items() if not was_set(name)}
    # Not the user's choice: `requestheaders` sets that header once the client's has been checked.
    chosen["keep_host_header"] = True
    if "mode" in chosen:
        listen_on_tcp_only(reverse_mode(settings))
    elif not any(mode.startswith(OUR_MODES) for mode in ctx.options.mode):
        # The user runs a forward proxy: its address and its handling of other hosts are the user's choice.
        for name in ("listen_host", "listen_port", "keep_host_header", "http2", "connection_strategy"):
            chosen.pop(name, None)
    return chosen


def reverse_mode(settings: Settings) -> str:
    """Return mitmproxy's mode for a reverse proxy to the endpoint."""
    return f"reverse:{settings.endpoints[0].site}"


def server_mode(settings: Settings) -> str:
    """Return mitmproxy's mode for the configured engine, which is registered if needed."""
    if settings.engine == "mitmproxy":
        return reverse_mode(settings)
    from moonpalace_addons.engine import mode  # imported only if it is used

    limits = Limits(settings.max_head, settings.max_body)
    mode.configure(limits, settings.tls_cert, settings.tls_key)
    return f"{mode.MoonPalaceMode.type_name}:{settings.endpoints[0].site}"

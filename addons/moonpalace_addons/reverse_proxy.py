"""Make mitmproxy a reverse proxy to the endpoint."""

import base64
from typing import Literal
from urllib.parse import unquote, urlsplit

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow
from mitmproxy.net.server_spec import ServerSpec
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.engine.limits import Limits
from moonpalace_addons.mitm.own_requests import is_own
from moonpalace_addons.mitm.proxy_server import listen_on_tcp_only, proxyserver, was_set
from moonpalace_addons.settings.values import Settings

OUR_MODES = ("reverse", "moonpalace")


class ReverseProxy:
    """Set mitmproxy's own options from the settings, and pass calls on to the endpoint."""

    name = "moonpalace-reverse-proxy"

    def __init__(self, configuration: Configuration, *, opens: bool = False) -> None:
        self.configuration = configuration
        self.opens = opens
        """It opens the socket; mitmproxy was told to open none."""
        self.proxy: OutgoingProxy | None = None

    async def running(self) -> None:
        """Take over the listening socket unless the user chose a mode."""
        if not self.configuration.ready:
            return
        settings = self.configuration.settings
        self.proxy = OutgoingProxy(settings.upstream_proxy) if settings.upstream_proxy else None
        ctx.options.update(**mitmproxy_options(settings))
        if self.opens:
            ctx.options.update(server=True)
        await proxyserver().setup_servers()  # waits for the switch that the options have begun

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Address the call to the endpoint, through the outgoing proxy if there is one."""
        if not self.configuration.concerns(flow) and not is_own(flow):
            return
        mode = flow.client_conn.proxy_mode
        if isinstance(mode, ReverseMode):
            # mitmproxy would do this before anybody could compare the client's Host; see keep_host_header below.
            host, port = mode.address
            standard = port == (443 if mode.scheme == "https" else 80)
            shown = f"[{host}]" if ":" in host else host
            flow.request.host_header = shown if standard else f"{shown}:{port}"
        if self.proxy is not None:
            flow.server_conn.via = self.proxy.address

    def http_connect_upstream(self, flow: HTTPFlow) -> None:
        """Give the outgoing proxy its password."""
        if self.proxy is not None and self.proxy.authorization is not None:
            flow.request.headers["Proxy-Authorization"] = self.proxy.authorization

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Ask for the endpoint's own certificate, whatever name the client used for us."""
        if isinstance(data.client.proxy_mode, ReverseMode) and data.server.tls and data.server.address:
            data.server.sni = data.server.address[0]


class OutgoingProxy:
    """An HTTP proxy between us and the endpoint, from the URL that the settings have checked."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        self.address: ServerSpec = (scheme, (parts.hostname or "", parts.port or (443 if scheme == "https" else 80)))
        self.authorization: str | None = None
        if parts.username is not None:
            plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.authorization = "Basic " + base64.b64encode(plain.encode()).decode()


def mitmproxy_options(settings: Settings) -> dict[str, object]:
    """Return the options of mitmproxy that our settings imply, without those that the user set himself."""
    options: dict[str, object] = {
        "mode": [server_mode(settings)],
        "listen_host": settings.host,
        "listen_port": settings.port,
        "connection_strategy": "lazy",  # a bare connect to us must not open a connection to the API
        "http2": False,  # ending a live answer early works with HTTP/1.1 only
        "tcp_timeout": int(settings.idle_timeout) + 60,  # ours, which answers with an error, must come first
        "ssl_insecure": settings.insecure,
    }
    if settings.upstream_ca is not None:
        options["ssl_verify_upstream_trusted_ca"] = str(settings.upstream_ca)
    if ctx.master.addons.get("view") is not None:  # mitmweb and mitmproxy show bodies; mitmdump keeps no flows
        options["store_streamed_bodies"] = True
    chosen = {name: value for name, value in options.items() if not was_set(name)}
    # Not the user's choice: `requestheaders` sets that header, after the client's own could be checked.
    chosen["keep_host_header"] = True
    if "mode" in chosen:
        listen_on_tcp_only(reverse_mode(settings))
    elif not any(mode.startswith(OUR_MODES) for mode in ctx.options.mode):
        # A forward proxy of the user's own: its address, and what it does with other hosts' calls, are his.
        for name in ("listen_host", "listen_port", "keep_host_header", "http2", "connection_strategy"):
            chosen.pop(name, None)
    return chosen


def reverse_mode(settings: Settings) -> str:
    """Return mitmproxy's name for a reverse proxy to the endpoint."""
    return f"reverse:{settings.endpoint}"


def server_mode(settings: Settings) -> str:
    """Return mitmproxy's name for the server of the chosen engine, which is there from then on."""
    if settings.engine == "mitmproxy":
        return reverse_mode(settings)
    from moonpalace_addons.engine import mode  # only who wants it has it

    limits = Limits(settings.max_head, settings.max_body)
    mode.configure(limits, settings.tls_cert, settings.tls_key)
    return f"{mode.MoonPalaceMode.type_name}:{settings.endpoint}"

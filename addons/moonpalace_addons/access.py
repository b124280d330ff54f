"""Guard a proxy that has a key: whoever may use it spends the owner's money."""

import asyncio
import hmac
import ipaddress
import logging
import re
import socket

from mitmproxy.http import HTTPFlow, Response
from mitmproxy.proxy.mode_specs import ReverseMode

from moonpalace_addons.calls import Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.settings import Settings
from moonpalace_addons.upstream import error_body

logger = logging.getLogger(__name__)

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
CLIENT_KEYS = ("authorization", "x-api-key", "api-key")
HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[^][:,\s]+)(?::[0-9]*)?")


class Access:
    """Refuse who may not use the key, and send the key for those who may."""

    name = "moonpalace-access"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self.names: frozenset[str] = frozenset()

    async def running(self) -> None:
        """Learn the names of this machine if clients may use them; asking for them can wait for the network."""
        if self.configuration.ready and self.configuration.settings.host in WILDCARDS:
            self.names = await asyncio.to_thread(machine_names)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Refuse a call that may not use the key; a fault of ours refuses too."""
        if not self.configuration.concerns(flow) or self.configuration.settings.key is None:
            return
        try:
            refusal = self._refusal(flow, self.configuration.settings)
        except Exception:
            logger.exception("the check of a request failed; it is refused")
            refusal = Refusal(500, "the proxy could not check this request", "server_error")
        if refusal is not None:
            flow.response = refusal.response()
            logger.warning("refused %s %s: %s", flow.request.method, flow.request.path.partition("?")[0], refusal.why)

    def _refusal(self, flow: HTTPFlow, settings: Settings) -> "Refusal | None":
        headers = flow.request.headers
        origin = headers.get("origin")
        if origin is not None and not is_allowed(origin, settings.allow_origins):
            return Refusal(403, "requests from this web page are not allowed (setting allow-origins)", FORBIDDEN)
        if origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Refusal(403, "requests from web pages are not allowed", FORBIDDEN)
        is_reverse = isinstance(flow.client_conn.proxy_mode, ReverseMode)
        if is_reverse and not is_own_name(headers.get("host", ""), settings.host, self.names):
            return Refusal(403, "the Host of this request is not this proxy", FORBIDDEN)
        # A browser asks before it sends a page's key: that question carries none.
        if settings.token is not None and flow.request.method != "OPTIONS" and not has_token(flow, settings.token):
            return Refusal(401, "this proxy wants its token as the API key", "incorrect_api_key_error")
        return None

    def request(self, flow: HTTPFlow) -> None:
        """Send the key upstream, and nothing of what the client sent in its place."""
        call = self.calls.get(flow)
        if call is None or flow.response is not None:
            return
        key = self.configuration.settings.key
        if key is None or flow.request.method == "OPTIONS":
            return
        for name in CLIENT_KEYS:
            flow.request.headers.pop(name, None)
        flow.request.headers["Authorization"] = f"Bearer {key}"
        call.upstream_key = key
        call.changes.append("authorization: set to the configured key")


FORBIDDEN = "permission_denied_error"


class Refusal:
    """An answer of our own to a call that does not go upstream."""

    def __init__(self, status: int, why: str, kind: str) -> None:
        self.status = status
        self.why = why
        self.kind = kind

    def response(self) -> Response:
        """Return it as a response in the API's shape."""
        return Response.make(self.status, error_body(self.why, self.kind), {"Content-Type": "application/json"})


def is_allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    """Tell whether a web page of this origin may call."""
    return "*" in allowed or origin.lower() in allowed


def has_token(flow: HTTPFlow, token: str) -> bool:
    """Tell whether the client sent the token, in time that does not depend on where it differs."""
    headers = flow.request.headers
    scheme, _, value = headers.get("authorization", "").partition(" ")
    sent = [value.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", "").strip()]
    return any([hmac.compare_digest(text.encode("utf-8", "replace"), token.encode()) for text in sent])  # noqa: C419


def machine_names() -> frozenset[str]:
    """Return the names by which other machines may know this one."""
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})


def is_own_name(host_header: str, listening: str, names: frozenset[str] = frozenset()) -> bool:
    """Tell whether a Host header names this proxy; a page that rebinds its own name to our address names itself.

    `names` are those of this machine, which count while it listens on all of its addresses.
    """
    match = HOST_AND_PORT.fullmatch(host_header.strip().lower())
    if match is None:
        return False
    name = match[1].strip("[]").removesuffix(".")
    if name in ("localhost", listening.lower()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return listening in WILDCARDS and name in names
    return address.is_loopback or listening in WILDCARDS

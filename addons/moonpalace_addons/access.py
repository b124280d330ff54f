"""Access control: which web pages may call the proxy, and which clients may use its API key."""

import hmac
import logging
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow, Response
from mitmproxy.proxy.mode_specs import ReverseMode

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.engine.own_addresses import is_own_name, is_this_machine
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.wire.faces.table import error_body
from moonpalace_addons.wire.foreign import quoted

logger = logging.getLogger(__name__)

CLIENT_KEYS = ("authorization", "x-api-key", "api-key")
ADD_ORIGIN = "add its origin to allow-origins (--allow-origins, MOONPALACE_ALLOW_ORIGINS, start.allow-origins)"
STRANGER = (
    "other machines may not use the key of this proxy: set a token (--token, MOONPALACE_TOKEN, start.token), "
    "and send it as the API key"
)


class Access:
    """Refuse unauthorized calls, and add the configured key to authorized ones."""

    name = "moonpalace-access"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls

    @property
    def unneeded(self) -> Collection[str]:
        """Return the hooks that do nothing if the proxy has neither a key, nor headers, nor a token."""
        return () if self.configuration.edits_credentials else ("request",)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Refuse an unauthorized call, or any call whose check fails."""
        if not self.configuration.concerns(flow):
            return
        try:
            refusal = self._refusal(flow, self.configuration.settings)
        except Exception:
            logger.exception("refused a request because checking it failed")
            refusal = Refusal(500, "the proxy could not check this request", "server_error")
        if refusal is not None:
            flow.response = refusal.response(flow.request.path)
            request = quoted(f"{flow.request.method} {flow.request.path.partition('?')[0]}")
            logger.warning("refused %s: %s", request, refusal.why)

    def _refusal(self, flow: HTTPFlow, settings: Settings) -> "Refusal | None":
        is_reverse = isinstance(flow.client_conn.proxy_mode, ReverseMode)
        endpoint = self.configuration.endpoint_of(flow)
        # A page cannot make a browser use a forward proxy: such requests come from the proxy's user.
        if (is_reverse or endpoint.secrets) and (why := page_problem(flow, settings)):
            return Refusal(403, why, FORBIDDEN)
        names = own_names(self.configuration.names, settings.allow_origins, settings.host)
        if is_reverse and not is_own_name(flow.request.host_header or "", names):
            return Refusal(403, f"the Host of this request is not known to this proxy: {ADD_ORIGIN}", FORBIDDEN)
        return key_refusal(flow, settings) if endpoint.secrets else None

    def request(self, flow: HTTPFlow) -> None:
        """Replace the client's credentials by the endpoint's key, and add the endpoint's headers."""
        call = self.calls.get(flow)
        if call is None or flow.response is not None:
            return
        endpoint, token = self.configuration.endpoint_of(flow), self.configuration.settings.token
        headers = flow.request.headers
        if endpoint.secrets or (token is not None and has_token(flow, token)):
            for name in CLIENT_KEYS:  # no endpoint needs the proxy's token
                headers.pop(name, None)
        if flow.request.method == "OPTIONS":  # a browser's preflight request, which needs no key
            return
        if endpoint.key is not None:
            name = key_header(endpoint)
            headers[name] = f"Bearer {endpoint.key}" if name == "Authorization" else endpoint.key
            call.upstream_key = endpoint.key
            call.changes.append(f"{name.lower()}: set to the configured key")
        for name, value in endpoint.headers:
            headers[name] = value
            call.changes.append(f"{name.lower()}: set as configured")


KEY_HEADERS = {"anthropic.com": "X-Api-Key", "azure.com": "Api-Key"}
"""Headers for the keys of APIs that accept no bearer token, by the ends of their host names."""


def key_header(endpoint: Endpoint) -> str:
    """Return the header for an endpoint's key."""
    host = f".{endpoint.address[1]}"
    return next((header for end, header in KEY_HEADERS.items() if host.endswith(f".{end}")), "Authorization")


FORBIDDEN = "permission_denied_error"


class Refusal:
    """An error answer to a call that is not forwarded."""

    def __init__(self, status: int, why: str, kind: str) -> None:
        self.status = status
        self.why = why
        self.kind = kind

    def response(self, path: str) -> Response:
        """Return the refusal as a response in the API's error format for this path."""
        body = error_body(self.why, self.kind, path)
        return Response.make(self.status, body, {"Content-Type": "application/json"})


def page_problem(flow: HTTPFlow, settings: Settings) -> str | None:
    """Return why the calling web page is refused, or None if it is allowed or the client is not a web page."""
    origin = flow.request.headers.get("origin")
    if origin is not None:
        return None if is_allowed(origin, settings.allow_origins) else f"this web page may not call: {ADD_ORIGIN}"
    # Not every request of a page has an Origin header, but browsers send Sec-Fetch-Site.
    is_page = flow.request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return "web pages must send their origin when they call (CORS)" if is_page else None


def key_refusal(flow: HTTPFlow, settings: Settings) -> Refusal | None:
    """Return the refusal of a call that may not use the key, or None.

    The connection's addresses decide, as the proxy may listen elsewhere than configured.
    """
    client = flow.client_conn
    if settings.token is None:
        is_local = is_this_machine(client.sockname) and is_this_machine(client.peername)
        return None if is_local else Refusal(403, STRANGER, FORBIDDEN)
    # A browser's preflight request carries no key.
    if flow.request.method != "OPTIONS" and not has_token(flow, settings.token):
        return Refusal(401, "this proxy requires its token as the API key", "incorrect_api_key_error")
    return None


@lru_cache(16)
def own_names(machine: frozenset[str], allowed: tuple[str, ...], host: str) -> frozenset[str]:
    """Return the host names of this proxy."""
    return machine | set(map(host_of, allowed)) | {host}


def host_of(origin: str) -> str:
    """Return the host name of a web origin, without the port; empty for `*`."""
    return urlsplit(origin).hostname or ""


def is_allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    """Return whether web pages of this origin are allowed."""
    return "*" in allowed or origin.lower() in allowed


def has_token(flow: HTTPFlow, token: str) -> bool:
    """Return whether the client sent the token; the comparison takes constant time."""
    headers = flow.request.headers
    scheme, _, value = headers.get("authorization", "").partition(" ")
    sent = [value.strip() if scheme.lower() == "bearer" else ""]
    sent += [headers.get(name, "").strip() for name in ("x-api-key", "api-key")]
    return any([hmac.compare_digest(text.encode("utf-8", "replace"), token.encode()) for text in sent])  # noqa: C419

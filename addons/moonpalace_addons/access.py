"""Guard the proxy: web pages may use it only where that is wanted, and its key only who may spend the owner's money."""

import hmac
import logging
from functools import lru_cache
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow, Response
from mitmproxy.proxy.mode_specs import ReverseMode

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.engine.own_addresses import is_own_name, is_this_machine
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.foreign import quoted

logger = logging.getLogger(__name__)

CLIENT_KEYS = ("authorization", "x-api-key", "api-key")
ADD_ORIGIN = "add its origin to allow-origins (--allow-origins, MOONPALACE_ALLOW_ORIGINS, start.allow-origins)"
STRANGER = (
    "other machines may not use the key of this proxy: set a token (--token, MOONPALACE_TOKEN, start.token), "
    "and send it as the API key"
)


class Access:
    """Refuse who may not use the proxy or its key, and send the key for those who may."""

    name = "moonpalace-access"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Refuse a call that may not be made; a fault of ours refuses too."""
        if not self.configuration.concerns(flow):
            return
        try:
            refusal = self._refusal(flow, self.configuration.settings)
        except Exception:
            logger.exception("the check of a request failed; it is refused")
            refusal = Refusal(500, "the proxy could not check this request", "server_error")
        if refusal is not None:
            flow.response = refusal.response(flow.request.path)
            asked = quoted(f"{flow.request.method} {flow.request.path.partition('?')[0]}")
            logger.warning("refused %s: %s", asked, refusal.why)

    def _refusal(self, flow: HTTPFlow, settings: Settings) -> "Refusal | None":
        is_reverse = isinstance(flow.client_conn.proxy_mode, ReverseMode)
        # No page can make a browser use a forward proxy: what comes by that way goes where its user wants it.
        if (is_reverse or settings.key is not None) and (why := page_problem(flow, settings)):
            return Refusal(403, why, FORBIDDEN)
        names = own_names(self.configuration.names, settings.allow_origins, settings.host)
        if is_reverse and not is_own_name(flow.request.host_header or "", names):
            return Refusal(403, f"the Host of this request is not known to this proxy: {ADD_ORIGIN}", FORBIDDEN)
        return None if settings.key is None else key_refusal(flow, settings)

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

    def response(self, path: str) -> Response:
        """Return it as a response in the shape that the API has at this path."""
        body = api_error.body(self.why, self.kind, path)
        return Response.make(self.status, body, {"Content-Type": "application/json"})


def page_problem(flow: HTTPFlow, settings: Settings) -> str | None:
    """Return why the web page that makes a call may not, None if it may or if it is no page."""
    origin = flow.request.headers.get("origin")
    if origin is not None:
        return None if is_allowed(origin, settings.allow_origins) else f"this web page may not call: {ADD_ORIGIN}"
    # Not every request of a page has an Origin, but browsers say where it comes from.
    is_page = flow.request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return "web pages may only call in a way that tells their origin (CORS)" if is_page else None


def key_refusal(flow: HTTPFlow, settings: Settings) -> Refusal | None:
    """Return the answer to a call that may not use the key, None if it may.

    What counts is the connection: where the proxy was told to listen is not always where it does.
    """
    client = flow.client_conn
    if settings.token is None:
        is_local = is_this_machine(client.sockname) and is_this_machine(client.peername)
        return None if is_local else Refusal(403, STRANGER, FORBIDDEN)
    # A browser asks before it sends a page's key: that question carries none.
    if flow.request.method != "OPTIONS" and not has_token(flow, settings.token):
        return Refusal(401, "this proxy wants its token as the API key", "incorrect_api_key_error")
    return None


@lru_cache(16)
def own_names(machine: frozenset[str], allowed: tuple[str, ...], host: str) -> frozenset[str]:
    """Return the names by which this proxy may be called."""
    return machine | set(map(host_of, allowed)) | {host}


def host_of(origin: str) -> str:
    """Return the host of a web origin, as a Host header has it without the port; empty for `*`."""
    return urlsplit(origin).hostname or ""


def is_allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    """Tell whether a web page of this origin may call."""
    return "*" in allowed or origin.lower() in allowed


def has_token(flow: HTTPFlow, token: str) -> bool:
    """Tell whether the client sent the token, in time that does not depend on where it differs."""
    headers = flow.request.headers
    scheme, _, value = headers.get("authorization", "").partition(" ")
    sent = [value.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", "").strip()]
    return any([hmac.compare_digest(text.encode("utf-8", "replace"), token.encode()) for text in sent])  # noqa: C419

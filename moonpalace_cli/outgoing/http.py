"""An HTTP client for single requests which tells whether an unanswered request may have been processed.

It verifies certificates, and follows no redirects, which would send credentials to another host. Its error messages
name only the host: paths and queries may contain tokens.
"""

import base64
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead, InvalidURL
from typing import Self
from urllib.parse import unquote, urlsplit

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.environment_proxy import environment_proxy
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.foreign import quoted

CONNECT_TIMEOUT = 15.0
"""Seconds to connect."""
TIMEOUT = 30.0
"""Seconds from the beginning of a request to the end of its answer."""
MAX_ANSWER_SIZE = 4_000_000
"""Maximum bytes of an answer that are read."""
AGENT = f"moonpalace/{__version__}"
FAILURES = (OSError, HTTPException, ValueError)
"""The exceptions of Python's HTTP client."""


class NotSentError(MoonPalaceError):
    """Raised if the server cannot have processed the request, because it did not receive all of it."""


class UntrustedError(NotSentError):
    """Raised if the certificate of the server is not valid."""


class NoAnswerError(MoonPalaceError):
    """Raised if the server may have processed the request, but its answer did not arrive completely."""


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a server: through `proxy`, called `named` in messages, trusting the authorities in the file `ca`.

    Without `ca` these are the authorities of this system.
    """

    proxy: str | None = field(default=None, repr=False)
    named: str = "the proxy"
    ca: str | None = None

    @classmethod
    def by_environment(cls, url: str) -> Self:
        """Return the route to the server of a URL according to the standard variables; raise NotSentError."""
        parts = urlsplit(url)
        if (configured := environment_proxy(f"{parts.scheme}://{parts.netloc}", os.environ)) is None:
            return cls()
        variable, proxy = configured
        try:
            return cls(kinds.PROXY.parse(proxy), f"the proxy in {variable}")
        except ValueError:
            raise NotSentError(f"variable {variable} must be {kinds.PROXY.allowed}") from None

    @property
    def credentials(self) -> dict[str, str]:
        """Return the header for a proxy that requires a password."""
        proxy = urlsplit(self.proxy or "")
        if proxy.username is None:
            return {}
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `body` is sent with its length."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """The host, for messages."""
        return urlsplit(self.url).hostname or "?"

    @property
    def is_tls(self) -> bool:
        """Return whether the server uses TLS."""
        return urlsplit(self.url).scheme == "https"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with its body, of which at most `MAX_ANSWER_SIZE` bytes are kept."""

    status: int
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)


def send(request: Request, *, timeout: float = TIMEOUT) -> Response:
    """Send a request and return the answer; raise NotSentError or NoAnswerError.

    The standard variables determine the proxy. After `timeout` seconds the connection is closed.
    """
    with opened(request, Route.by_environment(request.url), timeout=timeout) as answer:
        return Response(answer.status, answer.headers, answer.read(MAX_ANSWER_SIZE))


@contextmanager
def opened(
    request: Request, route: Route, *, timeout: float = threading.TIMEOUT_MAX, idle_timeout: float = TIMEOUT
) -> Iterator[HTTPResponse]:
    """Yield the answer to a request once its headers have arrived; raise NotSentError or NoAnswerError.

    If nothing arrives for `idle_timeout` seconds, or after `timeout` seconds in total, the connection is closed.
    """
    connection = connected(request, route)
    sock = connection.sock  # the connection drops its reference when an answer has begun
    sock.settimeout(idle_timeout)
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        with suppress(OSError):  # the server has closed it
            sock.shutdown(2)

    timer = threading.Timer(timeout, give_up)
    timer.daemon = True
    timer.start()
    try:
        with answered(connection, request, route) as answer:
            yield answer
        if is_late.is_set():  # without a length, this is the end of an answer
            raise TimeoutError
    except FAILURES as error:
        why = f"its answer took longer than {timeout:g} s" if is_late.is_set() else unfinished(error, idle_timeout)
        raise NoAnswerError(f"{request.host} was sent the request, but {why}") from None
    finally:
        timer.cancel()
        connection.close()


def answered(connection: HTTPConnection, request: Request, route: Route) -> HTTPResponse:
    """Send the request and return the beginning of its answer; raise NotSentError if not all of it was sent."""
    try:
        connection.request(request.method, target(request, route), request.body, headers(request, route))
    except FAILURES as error:
        # A server may refuse a request before it has read all of it.
        try:
            return connection.getresponse()
        except FAILURES:
            raise NotSentError(f"{request.host} closed the connection early: {reason(error)}") from None
    return connection.getresponse()


def connected(request: Request, route: Route) -> HTTPConnection:
    """Return a connection to the server, or to its proxy; raise NotSentError."""
    if (route.proxy or "").startswith("https:"):
        raise NotSentError(f"cannot use {route.named}: its own address is https://, and must be http://")
    connection = new_connection(request, route)
    try:
        connection.connect()
    except FAILURES as error:
        connection.close()
        via = f" by way of {route.named}" if route.proxy else ""
        kind = UntrustedError if isinstance(error, ssl.SSLCertVerificationError) else NotSentError
        raise kind(f"cannot connect to {request.host}{via}: {reason(error)}") from None
    return connection


def new_connection(request: Request, route: Route) -> HTTPConnection:
    """Return a connection that is not yet open; for https through a proxy it is a tunnel."""
    far = urlsplit(request.url)
    near = urlsplit(route.proxy or request.url)
    host, port = near.hostname or "", near.port or (443 if near.scheme == "https" else 80)
    if not request.is_tls:
        return HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)
    connection = HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=tls(route.ca))
    if route.proxy:
        connection.set_tunnel(far.hostname or "", far.port or 443, route.credentials)
    return connection


def target(request: Request, route: Route) -> str:
    """Return the target of the request line: the path, or for a proxy the whole URL."""
    if route.proxy and not request.is_tls:
        return request.url
    parts = urlsplit(request.url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def headers(request: Request, route: Route) -> dict[str, str]:
    """Return the headers of a request."""
    host = urlsplit(request.url).netloc.rpartition("@")[2]
    own = {"Host": host, "User-Agent": AGENT, "Connection": "close"}
    return overridden(own | ({} if request.is_tls else route.credentials), request.headers)


def overridden(headers: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """Return both headers; of headers with the same name, only those of `others`."""
    names = {name.lower() for name in others}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(others)


def tls(ca: str | None = None) -> ssl.SSLContext:
    """Return a context that verifies certificates: with a file of authorities, else this system's, else certifi's."""
    context = ssl.create_default_context(cafile=ca)
    paths = ssl.get_default_verify_paths()
    if ca is None and paths.cafile is None and paths.capath is None:
        import certifi  # mitmproxy needs it too

        context.load_verify_locations(certifi.where())
    return context


def unfinished(error: Exception, idle_timeout: float) -> str:
    """Return why the answer to a request did not arrive completely."""
    if isinstance(error, TimeoutError):
        return f"nothing came for {idle_timeout:g} s"
    if isinstance(error, IncompleteRead | ConnectionResetError | BrokenPipeError):
        return "the connection broke before the end of the answer"
    return f"its answer cannot be read: {reason(error)}"


def reason(error: Exception) -> str:
    """Return why a connection failed, in one line and without parts of the request."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError | HTTPException) and not isinstance(error, InvalidURL):
        return quoted(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    return f"the connection failed ({type(error).__name__})"

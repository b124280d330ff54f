"""An HTTP client for single requests that tells whether the server may have read a request that got no answer.

It verifies certificates, follows no redirects (they would carry credentials to another host), and limits the time of a
request and the size of its answer. Messages of its errors name the host alone: paths and queries may hold tokens.
"""

import base64
import http.client
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import IO
from urllib.parse import unquote, urlsplit

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.environment_proxy import environment_proxy
from moonpalace_addons.version import __version__

CONNECT_TIMEOUT = 15.0
"""Seconds to connect."""
TIMEOUT = 30.0
"""Seconds from the beginning of a request to the end of its answer."""
MAX_ANSWER_SIZE = 4_000_000
"""Bytes of an answer that are read."""
AGENT = f"moonpalace/{__version__}"


class NotSentError(MoonPalaceError):
    """Raised if the server cannot have acted on the request, as it did not get all of it."""


class NoAnswerError(MoonPalaceError):
    """Raised if the server may have acted on the request, but its answer did not come."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `body` is sent with its length."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Return the host, which messages name."""
        return urlsplit(self.url).hostname or "?"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is still to be read."""

    status: int
    headers: Message = field(repr=False)
    body: IO[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with its body, of which at most `MAX_ANSWER_SIZE` bytes are kept."""

    status: int
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)


def send(request: Request, *, timeout: float = TIMEOUT) -> Response:
    """Send a request and return the answer; raise NotSentError or NoAnswerError."""
    with opened(request, timeout=timeout) as answer:
        return Response(answer.status, answer.headers, answer.body.read(MAX_ANSWER_SIZE))


@contextmanager
def opened(request: Request, *, timeout: float = TIMEOUT) -> Iterator[Answer]:
    """Yield the answer to a request as soon as its headers are there; raise NotSentError or NoAnswerError.

    After `timeout` seconds the connection is closed, whatever has come by then.
    """
    connection = connected(request)
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        if (sock := connection.sock) is not None:
            sock.shutdown(2)

    timer = threading.Timer(timeout, give_up)
    timer.daemon = True
    timer.start()
    try:
        answer = answered(connection, request)
        yield Answer(answer.status, answer.msg, answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = f"within {timeout:g} s" if is_late.is_set() else reason(error)
        raise NoAnswerError(f"{request.host} got the request, but its answer did not come: {why}") from None
    finally:
        timer.cancel()
        connection.close()


def answered(connection: http.client.HTTPConnection, request: Request) -> http.client.HTTPResponse:
    """Send the request and return the beginning of its answer; raise NotSentError if it could not be sent whole."""
    try:
        connection.request(request.method, target(connection, request), request.body, headers(request))
    except (OSError, http.client.HTTPException, ValueError) as error:
        # A server may refuse a request before it has read all of it.
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError):
            raise NotSentError(f"{request.host} closed the connection early: {reason(error)}") from None
    return connection.getresponse()


def connected(request: Request) -> http.client.HTTPConnection:
    """Return a connection to the server, or to its proxy; raise NotSentError."""
    parts = urlsplit(request.url)
    is_tls, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if is_tls else 80)
    proxy = environment_proxy(f"{parts.scheme}://{parts.netloc}", os.environ)
    connection = made(host, port, is_tls=is_tls) if proxy is None else by_proxy(*proxy, host, port, is_tls=is_tls)
    try:
        connection.connect()
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        via = f" by way of the proxy in {proxy[0]}" if proxy else ""
        raise NotSentError(f"cannot connect to {host}{via}: {reason(error)}") from None
    return connection


def made(host: str, port: int, *, is_tls: bool) -> http.client.HTTPConnection:
    """Return a connection, not yet open."""
    if is_tls:
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=tls())
    return http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)


def by_proxy(variable: str, url: str, host: str, port: int, *, is_tls: bool) -> http.client.HTTPConnection:
    """Return a connection by way of an HTTP proxy: a tunnel for https, else the proxy itself."""
    try:
        proxy = urlsplit(kinds.PROXY.parse(url))
    except ValueError:
        raise NotSentError(f"variable {variable} must be {kinds.PROXY.allowed}") from None
    near = proxy.hostname or "", proxy.port or (443 if proxy.scheme == "https" else 80)
    if proxy.scheme == "https":
        raise NotSentError(f"variable {variable}: a proxy for reports must have an http:// address")
    connection = made(*near, is_tls=is_tls)
    if is_tls:
        connection.set_tunnel(host, port, proxy_credentials(proxy.username, proxy.password))
    return connection


def proxy_credentials(user: str | None, password: str | None) -> dict[str, str]:
    """Return the header for a proxy that wants a password."""
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def target(connection: http.client.HTTPConnection, request: Request) -> str:
    """Return what the request line names: the path, or the whole URL for a proxy."""
    parts = urlsplit(request.url)
    if parts.scheme == "http" and (connection.host, connection.port) != (parts.hostname, parts.port or 80):
        return request.url
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def headers(request: Request) -> dict[str, str]:
    """Return the headers of a request."""
    parts = urlsplit(request.url)
    return {"Host": parts.netloc.rpartition("@")[2], "User-Agent": AGENT, "Connection": "close"} | dict(request.headers)


def tls() -> ssl.SSLContext:
    """Return a context that verifies certificates, with the authorities of this system, else with certifi's."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        import certifi  # mitmproxy needs it too

        context.load_verify_locations(certifi.where())
    return context


def reason(error: BaseException) -> str:
    """Return why a connection failed, in a few words without the request's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the connection broke ({type(error).__name__})"

"""Ask a model over HTTP, and note the exchange as the tasks of a call, for the store."""

from __future__ import annotations

import base64
import ssl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State, Task
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.chat.event_data import make_decoder, read_data
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.foreign import quoted

if TYPE_CHECKING:
    from moonpalace_cli.explaining.target import Target

PATH = "/v1/chat/completions"
NOTHING_KEPT = "nothing was kept"
CONNECT_TIMEOUT = 20.0
"""Seconds for a connection to the endpoint or the proxy."""
MAX_ANSWER = 4_000_000
"""Bytes of an answer: far more than an explanation has."""
READ_SIZE = 65_536


class AskingError(MoonPalaceError):
    """The model could not be asked, or gave no whole answer."""


class InterruptedAskingError(AskingError):
    """The user has interrupted the answer."""

    exit_code = 130


@dataclass(slots=True)
class Asking:
    """A request to a model: `body` is sent to the target; after `run` the exchange is in `tasks`."""

    target: Target
    body: bytes = field(repr=False)
    timeout: float
    ca: Path | None = None
    uuid: str = field(default_factory=lambda: str(uuid4()))
    tasks: list[Task] = field(default_factory=list, repr=False)

    def run(self) -> Iterator[tuple[str, str]]:
        """Send the request, and yield the texts of a streamed answer as they come: (channel, text).

        Raise AskingError if the connection fails or breaks; a status of an error is for the caller to see in the tasks.
        """
        headers = self._headers()
        began, started_at = time.monotonic_ns(), time.time_ns() // 1000
        self.tasks.append(self._request_task(headers, started_at))
        try:
            with closing(self._connection()) as connection:
                connection.connect()
                connection.sock.settimeout(self.timeout)
                path = self.target.endpoint.prefix + PATH
                connection.request("POST", self._target_of(path), self.body, headers)
                with closing(connection.getresponse()) as response:
                    yield from self._receive(response, began)
        except (OSError, HTTPException) as error:
            raise AskingError(f"{self.target}: {reason_of(error, self.timeout)}; {NOTHING_KEPT}") from error

    def _receive(self, response: HTTPResponse, began: int) -> Iterator[tuple[str, str]]:
        started = ResponseStarted(
            self.uuid,
            time.monotonic_ns() - began,
            response.status,
            "".join(f"{name}: {value}\r\n" for name, value in response.getheaders()),
            (response.getheader("Content-Type") or "").partition(";")[0].strip().lower() or None,
            response.getheader("Content-Encoding"),
            deque(),
        )
        self.tasks.append(started)
        decoder, channels, size = make_decoder(), CHAT_COMPLETIONS.make_channels(), 0
        while data := response.read1(READ_SIZE):
            started.chunks.append((time.monotonic_ns() - began, data))
            size += len(data)
            if size > MAX_ANSWER:
                raise AskingError(
                    f"{self.target}: the answer is longer than {MAX_ANSWER // 1_000_000} MB; {NOTHING_KEPT}"
                )
            for event in decoder.feed(data):
                for value, _ in read_data(event).values:
                    yield from ((channel, text) for number, channel, text in channels.texts(value) if number == 0)
        if response.length:
            raise IncompleteRead(b"", response.length)
        self.tasks.append(ExchangeEnded(self.uuid, time.monotonic_ns() - began, State.COMPLETED))

    def _headers(self) -> dict[str, str]:
        endpoint = self.target.endpoint
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
        headers["User-Agent"] = f"MoonPalace/{__version__}"
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        if endpoint.address[0] == "http":
            headers |= proxy_headers(endpoint.proxy)
        given = {name.lower() for name, _ in endpoint.headers}
        return {name: value for name, value in headers.items() if name.lower() not in given} | dict(endpoint.headers)

    def _request_task(self, headers: dict[str, str], started_at: int) -> RequestRead:
        endpoint = self.target.endpoint
        return RequestRead(
            self.uuid,
            started_at,
            "POST",
            endpoint.url,
            PATH,
            "",
            "".join(f"{name}: {value}\r\n" for name, value in headers.items()),
            "application/json",
            None,
            None,
            self.body,
            api_key=endpoint.key.encode() if endpoint.key else None,
            secrets=tuple(secret.encode() for secret in endpoint.secrets),
            endpoint_name=endpoint.name,
        )

    def _connection(self) -> HTTPConnection:
        endpoint = self.target.endpoint
        scheme, host, port = endpoint.address
        if not endpoint.proxy:
            return self._connection_to(scheme, host, port)
        proxy = urlsplit(endpoint.proxy)
        if scheme == "http":
            return self._connection_to(proxy.scheme, proxy.hostname or "", proxy.port)
        if proxy.scheme == "https":
            raise AskingError(f"{self.target}: mpal explain cannot use a proxy whose own address is https://")
        connection = self._connection_to("https", proxy.hostname or "", proxy.port or 80)
        connection.set_tunnel(host, port, proxy_headers(endpoint.proxy))
        return connection

    def _connection_to(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        if scheme == "http":
            return HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)
        return HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=tls_context(self.ca))

    def _target_of(self, path: str) -> str:
        endpoint = self.target.endpoint
        return endpoint.site + path if endpoint.proxy and endpoint.address[0] == "http" else path


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return a context that verifies the endpoint, as the proxy does: with this CA file, else with certifi's."""
    import certifi  # only where TLS is spoken

    context = ssl.create_default_context(cafile=str(ca) if ca else certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def proxy_headers(proxy: str | None) -> dict[str, str]:
    """Return the header with the user and the password in the URL of a proxy, if it has any."""
    parts = urlsplit(proxy or "")
    if not parts.username:
        return {}
    given = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(given.encode()).decode()}"}


def reason_of(error: Exception, timeout: float) -> str:
    """Return why a connection failed, in one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); --upstream-ca names the CA of a private one"
    if isinstance(error, TimeoutError):
        return f"nothing came for {timeout:g} s"
    if isinstance(error, IncompleteRead | ConnectionResetError | BrokenPipeError):
        return "the connection broke before the end of the answer"
    return quoted(getattr(error, "strerror", None) or str(error) or type(error).__name__)

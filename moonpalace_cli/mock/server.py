"""Run the mock as a server in a separate thread."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Self

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.listening import listening
from moonpalace_cli.mock.answers import Answer
from moonpalace_cli.mock.api import Api, Call
from moonpalace_cli.mock.certificate import Certificate
from moonpalace_cli.mock.files import Upload
from moonpalace_cli.mock.scenarios import Times
from moonpalace_cli.mock.sending import Sending
from moonpalace_cli.mock.served import Served, ServedLog
from moonpalace_cli.mock.websocket import ResponsesSocket, asks_for_websocket

MAX_BODY_SIZE = 128 << 20  # bytes; the API's limit is 100 MB
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 read, not bound to
_STOP_TIMEOUT = 5.0  # seconds

_logger = logging.getLogger(__name__)


class MockServer:
    """Serve the mock until `stop`, or within a `with` block.

    With `port` 0 a free one is chosen, which `port` returns after the start; `times` are the pauses of the scenarios;
    without `caching` /v1/caching does not exist, and `clock` (seconds since 1970) determines when a context cache
    expires; `log` keeps the last `keep` calls; `on_served` is called in the server's thread for each finished call.
    """

    api = Api

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        tls: bool = False,
        *,
        times: Times | None = None,
        caching: bool = True,
        clock: Callable[[], float] = time.time,
        keep: int = 10_000,
        on_served: Callable[[Served], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.log = ServedLog(keep)
        self._api = self.api(times or Times(), caching=caching, clock=clock)
        self._on_served = on_served
        self._tls = tls
        self._certificate: Certificate | None = None
        self._thread: threading.Thread | None = None
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Return the address, without `/v1`."""
        host = ANY_ADDRESS.get(self.host, self.host)
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def ca_file(self) -> str:
        """Return the path of the certificate that clients must trust; empty without TLS."""
        return self._certificate.ca_file if self._certificate else ""

    def start(self) -> Self:
        """Listen, and return once calls are answered; raise `MoonPalaceError` if the address cannot be used."""
        try:
            sockets = listening(self.host, self.port)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MoonPalaceError(f"the mock cannot listen on {self.host}:{self.port}: {reason}") from error
        self.port = sockets[0].getsockname()[1]
        self._certificate = Certificate() if self._tls else None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(sockets, ready), name="mpal-mock", daemon=True)
        self._thread.start()
        ready.wait()
        if self._running is None:
            raise MoonPalaceError("the mock could not start: the log says why")
        return self

    def stop(self) -> None:
        """Close all connections and stop listening; idempotent."""
        thread, self._thread = self._thread, None
        running, self._running = self._running, None
        if thread is None or running is None:
            return
        loop, stopping = running
        loop.call_soon_threadsafe(stopping.set)
        thread.join(_STOP_TIMEOUT)
        if self._certificate is not None:
            self._certificate.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, sockets: list[socket.socket], ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(sockets, ready))
        finally:
            ready.set()

    async def _serve(self, sockets: list[socket.socket], ready: threading.Event) -> None:
        stopping = asyncio.Event()
        server = HTTPServer(
            self._answer,
            ssl_options=self._certificate.context() if self._certificate else None,
            max_body_size=MAX_BODY_SIZE,
            max_buffer_size=MAX_BODY_SIZE,
        )
        # Idle connections may stay; a timer for each request costs a tenth of the throughput.
        server.conn_params.header_timeout = None
        server.add_sockets(sockets)
        self._running = asyncio.get_running_loop(), stopping
        ready.set()
        await stopping.wait()
        server.stop()
        for task in self._tasks:
            task.cancel()
        await server.close_all_connections()

    def _answer(self, request: HTTPServerRequest) -> None:
        connection = request.connection
        if not isinstance(connection, HTTP1Connection):
            raise TypeError("the mock speaks HTTP/1 only")
        call = _call(request)
        answer = self._api.answer(call)
        if asks_for_websocket(request) and self._api.accepts(call):
            self._serve_websocket(request, connection, call)
            return
        sending = Sending(request, connection, answer, lambda sending: self._record(request, sending))
        if sending.is_simple():
            sending.send_at_once()
            return
        task = self._start(sending.send())

        def is_idle() -> None:
            sending.client_left()
            task.cancel()

        connection.set_close_callback(is_idle)

    def _serve_websocket(self, request: HTTPServerRequest, connection: HTTP1Connection, call: Call) -> None:
        def answer(body: bytes) -> Answer:
            answered = self._api.answer(replace(call, method="POST", body=body))
            events = answered.total_events
            self._note(
                Served(
                    "WS", request.path, request.query, request.headers, body, events, events, False, 101, answered.model
                )
            )
            return answered

        self._start(ResponsesSocket(request, connection.detach(), answer).serve())

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._sent)
        return task

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("the mock failed to send an answer", exc_info=error)

    def _record(self, request: HTTPServerRequest, sending: Sending) -> None:
        served = Served(
            method=request.method or "",
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            sent_events=sending.sent_events,
            total_events=sending.answer.total_events,
            cut_off=sending.cut_off,
            status=sending.answer.status,
            model=sending.answer.model,
        )
        self._note(served)

    def _note(self, served: Served) -> None:
        self.log.append(served)
        if self._on_served is not None:
            self._on_served(served)


def _call(request: HTTPServerRequest) -> Call:
    purposes = request.body_arguments.get("purpose", [b""])
    uploads = tuple(
        Upload(file["filename"], purposes[0].decode("utf-8", "replace"), file["body"])
        for file in request.files.get("file", [])
    )
    return Call(request.method or "", request.path, request.headers, request.body, uploads)

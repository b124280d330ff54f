"""Ask a model over HTTP, and record the exchange as the tasks of a call, for the store."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State, Task
from moonpalace_addons.wire.chat.event_data import make_decoder, read_data
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_cli.outgoing import http

if TYPE_CHECKING:
    from moonpalace_cli.explaining.target import Target

PATH = "/v1/chat/completions"
NOTHING_KEPT = "nothing was kept"
READ_SIZE = 65_536


class AskingError(MoonPalaceError):
    """The model could not be asked, or its answer is incomplete."""


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
        """Send the request, and yield the texts of a streamed answer as they arrive: (channel, text).

        Raise AskingError if the connection fails or breaks; an error status is left to the caller, who finds it in the
        tasks.
        """
        endpoint, headers = self.target.endpoint, self._headers()
        began, started_at = time.monotonic_ns(), time.time_ns() // 1000
        self.tasks.append(self._request_task(headers, started_at))
        request = http.Request("POST", endpoint.url + PATH, headers, self.body)
        try:
            route = http.Route(endpoint.proxy, ca=self._authorities())
            with http.opened(request, route, idle_timeout=self.timeout) as answer:
                yield from self._receive(answer, began)
        except (http.NotSentError, http.NoAnswerError) as error:
            hint = "; --upstream-ca names the CA of a private one" if isinstance(error, http.UntrustedError) else ""
            raise AskingError(f"{self.target}: {error}{hint}; {NOTHING_KEPT}") from error

    def _authorities(self) -> str:
        """Return the file of the certificate authorities that the proxy trusts, too."""
        import certifi  # only needed when a model is asked

        return str(self.ca or certifi.where())

    def _receive(self, answer: HTTPResponse, began: int) -> Iterator[tuple[str, str]]:
        started = ResponseStarted(
            self.uuid,
            time.monotonic_ns() - began,
            answer.status,
            "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items()),
            answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None,
            answer.headers.get("Content-Encoding"),
            deque(),
        )
        self.tasks.append(started)
        decoder, channels, size = make_decoder(), CHAT_COMPLETIONS.make_channels(), 0
        while data := answer.read1(READ_SIZE):
            started.chunks.append((time.monotonic_ns() - began, data))
            size += len(data)
            if size > http.MAX_ANSWER_SIZE:
                raise AskingError(
                    f"{self.target}: the answer is longer than {http.MAX_ANSWER_SIZE // 1_000_000} MB; {NOTHING_KEPT}"
                )
            for event in decoder.feed(data):
                for value, _ in read_data(event).values:
                    yield from ((channel, text) for number, channel, text in channels.texts(value) if number == 0)
        if answer.length:
            raise IncompleteRead(b"", answer.length)
        self.tasks.append(ExchangeEnded(self.uuid, time.monotonic_ns() - began, State.COMPLETED))

    def _headers(self) -> dict[str, str]:
        endpoint = self.target.endpoint
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
        headers["User-Agent"] = http.AGENT
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        return http.overridden(headers, dict(endpoint.headers))

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

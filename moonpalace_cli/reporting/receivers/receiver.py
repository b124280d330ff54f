"""What all receivers have in common: their protocol, and the meaning of HTTP statuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from moonpalace_addons.wire.foreign import quoted
from moonpalace_addons.wire.json_value import parse
from moonpalace_cli.outgoing.http import NoAnswerError, NotSentError, Request, Response, send
from moonpalace_cli.reporting.outcome import InDoubt, Later, Outcome, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from moonpalace_cli.reporting.message import Message

MAX_REASON = 300
"""Maximum characters of a receiver's message that are stored."""
MAX_HOST = 100
"""Maximum characters of a host's name that are stored."""
MAX_WAIT = 86_400.0
"""Maximum seconds to wait, whatever a receiver asks for."""
UNAVAILABLE = (429, 503)
"""Statuses of requests that were not processed and may be repeated."""
FIRST_SERVER_ERROR = 500


class Receiver(Protocol):
    """A destination of reports: `place` is its name for people, without secrets; `find` works if `can_find`."""

    @property
    def place(self) -> str:
        """Return its name for people, without secrets."""
        ...

    @property
    def can_find(self) -> bool:
        """Return whether it can be asked if a report has arrived."""
        ...

    def send(self, message: Message) -> Outcome:
        """Send a report; never raise because of the receiver or the network."""
        ...

    def find(self, marker: str, since: datetime) -> str | None:
        """Return the address of the report with this marker; None if it has not arrived. Raise MoonPalaceError."""
        ...


def posted(request: Request, judge: Callable[[Response], Outcome], secrets: Iterable[str] = ()) -> Outcome:
    """Send a request; return the meaning of the answer, which `judge` determines if the status is a success."""
    try:
        response = send(request)
    except NotSentError as error:
        return Later(str(error))
    except NoAnswerError as error:
        return InDoubt(without(str(error), secrets))
    return judge(response) if response.status // 100 == 2 else judged(request, response, tuple(secrets))


def judged(request: Request, response: Response, secrets: tuple[str, ...]) -> Outcome:
    """Return the meaning of an answer with an error status."""
    reason = f"{request.host} answers {response.status}"
    if words := words_of(response.body, secrets):
        reason += f": {words}"
    if response.status in UNAVAILABLE or is_rate_limit(response):
        return Later(reason, wait(response))
    if response.status >= FIRST_SERVER_ERROR or response.status == 408:
        return InDoubt(reason)
    if response.status // 100 == 3:
        return Refused(f"{reason} and sends on to {quoted(other_host(response) or 'another path', MAX_HOST)}")
    return Refused(reason)


def other_host(response: Response) -> str | None:
    """Return the host to which an answer redirects; None if there is none."""
    try:
        return urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        return None


def is_rate_limit(response: Response) -> bool:
    """Return whether a status 403 is a rate limit, as on GitHub."""
    headers = response.headers
    is_over = "Retry-After" in headers or headers.get("X-RateLimit-Remaining") == "0"
    return response.status == 403 and (is_over or b"rate limit" in response.body.lower())


def wait(response: Response) -> float | None:
    """Return the seconds to wait according to the answer."""
    retry_after, reset = (
        response.headers.get("Retry-After", "").strip(),
        response.headers.get("X-RateLimit-Reset", "").strip(),
    )
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), MAX_WAIT)
    try:
        return bounded((parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        pass
    return bounded(int(reset) - time.time()) if reset.isascii() and reset.isdigit() and len(reset) < 12 else None


def bounded(seconds: float) -> float:
    """Return the seconds limited to between 1 and `MAX_WAIT`."""
    return max(1.0, min(seconds, MAX_WAIT))


def words_of(body: bytes, secrets: Iterable[str]) -> str:
    """Return the message of an answer in one line, without the secrets that were sent."""
    value = parse(body)
    if isinstance(value, dict):
        candidates = (value.get(name) for name in ("message", "msg", "errmsg", "error", "error_description", "errors"))
        texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in candidates if each]
        text = "; ".join(texts)
    else:
        text = body.decode("utf-8", "replace")
    return kept_words(text, secrets)


def kept_words(text: str, secrets: Iterable[str]) -> str:
    """Return a receiver's message as it is stored and shown, without the secrets that were sent to it."""
    return quoted(without(text, secrets), MAX_REASON)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return text


def json_request(url: str, value: object, headers: Mapping[str, str] | None = None) -> Request:
    """Return a POST with a JSON body."""
    body = json.dumps(value).encode()
    return Request("POST", url, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)

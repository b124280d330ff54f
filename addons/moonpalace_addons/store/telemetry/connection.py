"""The connection to the receiver, which records the outcome of the last request in a few words."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from moonpalace_addons.wire.status import FIRST_REDIRECT, status_line

MAX_ANSWER = 65_536
"""Maximum bytes of an answer that are read."""
LATER = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses after which the same request may succeed later."""


CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why calls were not accepted; `is_final` means that they never will be, `count` is their number, None for all."""

    words: str
    is_final: bool = False
    count: int | None = None


class Connection(requests.Session):
    """A session for the SDK's exporters; it sends `body`, if that is set, instead of the data that they encode."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Failure | None = None
        self.body: bytes | None = None
        self._answer = b""

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request, and read only the beginning of its answer."""
        self._answer = b""
        if self.body is not None:
            coding = str((options.get("headers") or {}).get("Content-Encoding", ""))
            options["data"] = CODINGS.get(coding, bytes)(self.body)
        try:
            response = super().request(*args, **{**options, "stream": True})
            self._answer = response.raw.read(MAX_ANSWER)
            response.close()
        except Exception as error:
            self.failure = Failure(reason(error))
            raise
        code = response.status_code
        is_taken = code < FIRST_REDIRECT  # the SDK treats a redirection, which it does not follow, as a success
        self.failure = None if is_taken else Failure(f"answers {status_line(code)}", code not in LATER)
        return response

    def rejected(self) -> Failure | None:
        """Return the number of spans that the receiver rejected though it accepted the request; None for none."""
        try:
            answer = ExportTraceServiceResponse.FromString(self._answer).partial_success
        except DecodeError:
            return None
        count = answer.rejected_spans
        return Failure("rejects some of the calls", is_final=True, count=count) if count > 0 else None


def reason(error: Exception) -> str:
    """Return why a request failed, without the messages of libraries, which may contain the whole URL."""
    if isinstance(error, requests.Timeout):
        return "does not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "has no certificate that can be verified"
    if isinstance(error, requests.exceptions.ProxyError):
        return "cannot be reached by way of the HTTP proxy"
    causes = [type(cause) for cause in origins(error)]
    if ConnectionRefusedError in causes:
        return "refuses the connection"
    if ConnectionResetError in causes or BrokenPipeError in causes:
        return "resets the connection"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return f"cannot be used ({type(error).__name__})"


def origins(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, as urllib3 nests them."""
    seen, pending = set[int](), [error]
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        pending += [each for each in inner if isinstance(each, BaseException)]

"""The connection to the receiver, which notes in a few words what came of the last request."""

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
"""Bytes of an answer that are read."""
LATER = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses after which the same request may succeed."""


CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why calls were not taken; `is_final` means that they never will be, `count` how many of them, None for all."""

    words: str
    is_final: bool = False
    count: int | None = None


class Connection(requests.Session):
    """A session for the SDK's exporters; what it sends is `body`, if that is set, instead of what they encode."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Failure | None = None
        self.body: bytes | None = None
        self._answer = b""

    def request(self, *args: Any, **given: Any) -> requests.Response:
        """Send a request, and read no more than the beginning of its answer."""
        self._answer = b""
        if self.body is not None:
            coding = str((given.get("headers") or {}).get("Content-Encoding", ""))
            given["data"] = CODINGS.get(coding, bytes)(self.body)
        try:
            response = super().request(*args, **{**given, "stream": True})
            self._answer = response.raw.read(MAX_ANSWER)
            response.close()
        except Exception as error:
            self.failure = Failure(reason(error))
            raise
        code = response.status_code
        is_taken = code < FIRST_REDIRECT  # the SDK takes a redirection, which it does not follow, for a success
        self.failure = None if is_taken else Failure(f"answers {status_line(code)}", code not in LATER)
        return response

    def rejected(self) -> Failure | None:
        """Return how many spans the receiver has rejected although it took the request, None if none."""
        try:
            said = ExportTraceServiceResponse.FromString(self._answer).partial_success
        except DecodeError:
            return None
        count = said.rejected_spans
        return Failure("rejects some of the calls", is_final=True, count=count) if count > 0 else None


def reason(error: Exception) -> str:
    """Return why a request failed, without the words of libraries, which may contain all of the URL."""
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
    """Yield an error and those that led to it, as urllib3 nests them."""
    seen, left = set[int](), [error]
    while left:
        found = left.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        inner = (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args)
        left += [each for each in inner if isinstance(each, BaseException)]

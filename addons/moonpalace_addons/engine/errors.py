"""Errors of a call in the engine; `failure` is the classification that is stored.

::

    CallError
    ├── RequestError             the client's request is invalid or exceeds a limit
    ├── ClientDisconnectedError  the client closed its connection before the end of the answer
    ├── KilledError              an addon or the user killed the flow
    ├── ResponseError            the API's answer is invalid or exceeds a limit
    ├── TruncatedError           the API closed its connection during or before its answer
    │   └── ConnectionLostError
    ├── ConnectError             connecting to the API failed
    └── InternalError            a fault in MoonPalace, or in an addon's `stream`
"""

import errno
import socket
import ssl
from dataclasses import replace

from mitmproxy.flow import Error

from moonpalace_addons.calls.failures import (
    BAD_REQUEST,
    CLIENT_LEFT,
    CLIENT_SILENT,
    KILLED,
    REQUEST_TOO_LARGE,
    UPSTREAM_CUT,
    UPSTREAM_PROTOCOL,
    UPSTREAM_REFUSED,
    UPSTREAM_RESET,
    UPSTREAM_TLS,
    Failure,
    of_exception,
)

FAILURES = {408: CLIENT_SILENT, 413: REQUEST_TOO_LARGE}
"""Failures of refused requests by the status of their answer; BAD_REQUEST for all others."""


class CallError(Exception):
    """Base of all: a message for the client and the row, and the failure."""

    failure: Failure = UPSTREAM_PROTOCOL


class RequestError(CallError):
    """Raised for a request that is not forwarded; `status` is that of its answer."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status
        self.failure = FAILURES.get(status) or replace(BAD_REQUEST, status=status)


class ClientDisconnectedError(CallError):
    """Raised if the client disconnected before the end of the answer."""

    failure = CLIENT_LEFT

    def __init__(self) -> None:
        super().__init__("Client disconnected.")


class KilledError(CallError):
    """Raised if the flow was killed."""

    failure = KILLED

    def __init__(self) -> None:
        super().__init__(Error.KILLED_MESSAGE)


class ResponseError(CallError):
    """Raised for an answer that violates HTTP or exceeds a limit."""


class TruncatedError(CallError):
    """Raised for an answer without an end."""

    failure = UPSTREAM_CUT


class InternalError(CallError):
    """Raised for a bug in MoonPalace or in an addon."""


class ConnectError(CallError):
    """Raised if connecting to the API failed."""

    def __init__(self, why: str, failure: Failure = UPSTREAM_REFUSED) -> None:
        super().__init__(why)
        self.failure = failure

    @classmethod
    def because(cls, error: BaseException) -> "ConnectError":
        """Return the ConnectError for an exception, classified by type and errno."""
        while isinstance(error, BaseExceptionGroup):  # one for each address of the host
            error = error.exceptions[0]
        if isinstance(error, ssl.SSLCertVerificationError):
            return cls(f"certificate verify failed: {error.verify_message}", UPSTREAM_TLS)
        if isinstance(error, ssl.SSLError):
            return cls(f"TLS handshake failed: {error.reason or error}", UPSTREAM_TLS)
        if isinstance(error, socket.gaierror):
            return cls(f"unknown host: {error.strerror}", of_exception(error))
        if isinstance(error, TimeoutError) or getattr(error, "errno", None) == errno.ETIMEDOUT:
            return cls("the connection timed out", of_exception(error))
        if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
            return cls(str(error) or "the connection was reset", UPSTREAM_RESET)
        return cls(str(error) or type(error).__name__, of_exception(error))


class ConnectionLostError(TruncatedError):
    """Raised if the API's connection was lost; the failure follows from the socket's error."""

    def __init__(self, error: BaseException | None, *, begun: bool) -> None:
        what = "during its answer" if begun else "before it answered"
        if error is None:
            super().__init__(f"the API closed the connection {what}")
        else:
            super().__init__(f"the connection to the API broke {what}: {error}")
            self.failure = of_exception(error)

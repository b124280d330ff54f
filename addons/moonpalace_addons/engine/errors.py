"""What can go wrong with a call in the engine; each error says in `failure` what the row calls it.

::

    CallError
    ├── RequestError       the client sent what is no request, or one beyond a limit
    ├── ClientLeftError       the client closed its connection before the end of the answer
    ├── KilledError           an addon or the user killed the flow
    ├── AnswerError        the API sent what is no answer
    ├── CutError        the API closed its connection in the midst of an answer, or before it
    ├── ConnectError    there is no connection to the API
    └── FaultError      a fault in MoonPalace, or in an addon's `stream`
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
"""What an unusable request is called, by the status of its answer; all others are bad ones."""


class CallError(Exception):
    """Base of all: a sentence for the client and the row, and the failure."""

    failure: Failure = UPSTREAM_PROTOCOL


class RequestError(CallError):
    """Report a request that is not passed on; `status` is that of the answer."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status
        self.failure = FAILURES.get(status) or replace(BAD_REQUEST, status=status)


class ClientLeftError(CallError):
    """Report that nobody waits for the answer any more."""

    failure = CLIENT_LEFT

    def __init__(self) -> None:
        super().__init__("Client disconnected.")


class KilledError(CallError):
    """Report that a flow was killed."""

    failure = KILLED

    def __init__(self) -> None:
        super().__init__(Error.KILLED_MESSAGE)


class AnswerError(CallError):
    """Report an answer that breaks the rules of HTTP."""


class CutError(CallError):
    """Report an answer that has no end."""

    failure = UPSTREAM_CUT


class FaultError(CallError):
    """Report what should not have happened."""


class ConnectError(CallError):
    """Report that there is no connection to the API."""

    def __init__(self, why: str, failure: Failure = UPSTREAM_REFUSED) -> None:
        super().__init__(why)
        self.failure = failure

    @classmethod
    def because(cls, error: BaseException) -> "ConnectError":
        """Return the error that an attempt to connect has ended with, by its type and number."""
        while isinstance(error, BaseExceptionGroup):  # one for each address of the host
            error = error.exceptions[0]
        if isinstance(error, ssl.SSLCertVerificationError):
            return cls(f"certificate verify failed: {error.verify_message}", UPSTREAM_TLS)
        if isinstance(error, ssl.SSLError):
            return cls(f"TLS handshake failed: {error.reason or error}", UPSTREAM_TLS)
        if isinstance(error, socket.gaierror):
            return cls(f"the host is not known: {error.strerror}", of_exception(error))
        if isinstance(error, TimeoutError) or getattr(error, "errno", None) == errno.ETIMEDOUT:
            return cls("the connection timed out", of_exception(error))
        if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
            return cls(str(error) or "the connection was reset", UPSTREAM_RESET)
        return cls(str(error) or type(error).__name__, of_exception(error))


class LostError(CutError):
    """Report that the API's connection broke, with the error of the socket."""

    def __init__(self, error: BaseException | None, *, begun: bool) -> None:
        what = "in the midst of its answer" if begun else "before it answered"
        if error is None:
            super().__init__(f"the API closed the connection {what}")
        else:
            super().__init__(f"the connection to the API broke {what}: {error}")
            self.failure = of_exception(error)

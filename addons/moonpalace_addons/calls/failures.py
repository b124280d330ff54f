"""Kinds of failures, as stored and searched for, and their classification by exception type and errno."""

import errno
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from mitmproxy.http import HTTPFlow

from moonpalace_addons.store.state import State


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure: the call's state, the error kind, and the status to answer with if one can be sent."""

    state: State
    kind: str
    status: int | None


type FailureOf = Callable[[HTTPFlow], Failure]
"""Returns the failure of a flow."""

CLIENT_LEFT = Failure(State.CLIENT_DISCONNECTED, "client_disconnected", None)
BAD_REQUEST = Failure(State.CLIENT_DISCONNECTED, "bad_request", 400)
KILLED = Failure(State.CLIENT_DISCONNECTED, "killed", None)
REPEATING = Failure(State.REPEAT_INTERRUPTED, "repeat", None)
UPSTREAM_CUT = Failure(State.UPSTREAM_FAILED, "upstream_cut", 502)
REQUEST_TOO_LARGE = Failure(State.CLIENT_DISCONNECTED, "request_too_large", 413)
UNKNOWN_ENDPOINT = Failure(State.COMPLETED, "unknown_endpoint", 404)
"""Our own answer is the whole of such a call."""
CLIENT_SILENT = Failure(State.TIMED_OUT, "client_timeout", 408)
PROXY_STOPPED = Failure(State.PROXY_DIED, "proxy_stopped", 503)
TUNNEL_IDLE = Failure(State.TIMED_OUT, "tunnel_idle", None)
UPSTREAM_SILENT = Failure(State.TIMED_OUT, "upstream_timeout", 504)

UPSTREAM_TLS = Failure(State.UPSTREAM_FAILED, "upstream_tls", 502)
UPSTREAM_PROXY = Failure(State.UPSTREAM_FAILED, "upstream_proxy", 502)
UPSTREAM_RESET = Failure(State.UPSTREAM_FAILED, "upstream_reset", 502)
UPSTREAM_REFUSED = Failure(State.UPSTREAM_FAILED, "upstream_refused", 502)
UPSTREAM_UNREACHABLE = Failure(State.UPSTREAM_FAILED, "upstream_unreachable", 502)
UPSTREAM_UNKNOWN = Failure(State.UPSTREAM_FAILED, "upstream_unknown_host", 502)
UPSTREAM_IS_PROXY = Failure(State.UPSTREAM_FAILED, "upstream_is_this_proxy", 502)
UPSTREAM_PROTOCOL = Failure(State.UPSTREAM_FAILED, "upstream_protocol", 502)
NO_DESCRIPTORS = Failure(State.UPSTREAM_FAILED, "too_many_open_files", 503)

NUMBERS = {
    errno.ECONNREFUSED: UPSTREAM_REFUSED,
    errno.ETIMEDOUT: UPSTREAM_SILENT,
    errno.ECONNRESET: UPSTREAM_RESET,
    errno.ECONNABORTED: UPSTREAM_RESET,
    errno.EPIPE: UPSTREAM_RESET,
    errno.EMFILE: NO_DESCRIPTORS,
    errno.ENFILE: NO_DESCRIPTORS,
} | dict.fromkeys(
    (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL), UPSTREAM_UNREACHABLE
)


TYPES = (
    (socket.gaierror, UPSTREAM_UNKNOWN),
    (ssl.SSLError, UPSTREAM_TLS),
    (TimeoutError, UPSTREAM_SILENT),
    (ConnectionRefusedError, UPSTREAM_REFUSED),
    (ConnectionResetError, UPSTREAM_RESET),
    (ConnectionAbortedError, UPSTREAM_RESET),
    (BrokenPipeError, UPSTREAM_RESET),
)
"""Exceptions that may have no errno."""


def of_exception(error: BaseException | None) -> Failure:
    """Return the failure for an exception on an upstream connection."""
    for kind, failure in TYPES:
        if isinstance(error, kind):
            return failure
    # For several addresses asyncio raises one OSError without an errno, whose text contains the numbers.
    for number in [getattr(error, "errno", None), *map(int, re.findall(r"\[Errno (\d+)\]", str(error)))]:
        if number in NUMBERS:
            return NUMBERS[number]
    return UPSTREAM_PROTOCOL

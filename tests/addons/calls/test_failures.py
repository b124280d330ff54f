"""The kind of failure for an exception."""

import asyncio
import errno
import os
import socket
import ssl

from moonpalace_addons.calls.failures import Failure, of_exception
from moonpalace_addons.store.tasks import State
from tests.tables import for_each

FAILED, TIMED_OUT = State.UPSTREAM_FAILED, State.TIMED_OUT
SEVERAL = "Multiple exceptions: [Errno %d] Connect call failed ('::1', 9, 0, 0), [Errno %d] Connect call failed"


def numbered(number: int) -> OSError:
    """Return the exception that the system raises."""
    return OSError(number, os.strerror(number))


EXCEPTIONS: list[tuple[BaseException | None, Failure]] = [
    (numbered(errno.ECONNREFUSED), Failure(FAILED, "upstream_refused", 502)),
    (OSError(SEVERAL % (errno.ECONNREFUSED, errno.ECONNREFUSED)), Failure(FAILED, "upstream_refused", 502)),
    (OSError(SEVERAL % (errno.EHOSTUNREACH, errno.ECONNREFUSED)), Failure(FAILED, "upstream_unreachable", 502)),
    (numbered(errno.EHOSTUNREACH), Failure(FAILED, "upstream_unreachable", 502)),
    (numbered(errno.ENETUNREACH), Failure(FAILED, "upstream_unreachable", 502)),
    (numbered(errno.ETIMEDOUT), Failure(TIMED_OUT, "upstream_timeout", 504)),
    (TimeoutError(), Failure(TIMED_OUT, "upstream_timeout", 504)),
    (socket.gaierror(socket.EAI_NONAME, "nodename nor servname"), Failure(FAILED, "upstream_unknown_host", 502)),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), Failure(FAILED, "upstream_unknown_host", 502)),
    (numbered(errno.ECONNRESET), Failure(FAILED, "upstream_reset", 502)),
    (numbered(errno.EPIPE), Failure(FAILED, "upstream_reset", 502)),
    (numbered(errno.EMFILE), Failure(FAILED, "too_many_open_files", 503)),
    (ssl.SSLError(1, "no connect call failed, no timeout"), Failure(FAILED, "upstream_tls", 502)),
    (ConnectionResetError("Connection lost"), Failure(FAILED, "upstream_reset", 502)),
    (OSError("a timeout, a certificate, a reset"), Failure(FAILED, "upstream_protocol", 502)),
    (asyncio.CancelledError(), Failure(FAILED, "upstream_protocol", 502)),
    (None, Failure(FAILED, "upstream_protocol", 502)),
]


@for_each(("error", "expected"), EXCEPTIONS)
def test_exception(error: BaseException | None, expected: Failure) -> None:
    """Types and numbers decide, not words."""
    assert of_exception(error) == expected

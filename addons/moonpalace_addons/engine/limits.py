"""Limits of the engine: sizes in bytes, times in seconds."""

import sys
from dataclasses import dataclass, replace

MAX_HEADER_FIELDS = 1_000
"""Header fields of one message."""
RESERVED_DESCRIPTORS = 128
"""Open files reserved for uses other than connections."""
MAX_CHUNKS = 100_000
"""Chunks of a request: parsing many tiny ones delays all other calls."""
MAX_REFUSAL_SIZE = 16_000_000
"""Bytes of an answer that is held until an addon decides whether to send the request again."""
MAX_INTERIM_RESPONSES = 100
"""Interim answers (1xx) before an answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the memory and time that clients and the API may take.

    The idle timeouts apply to connections between two calls, `head_timeout` from the last byte of an incomplete
    request. Above `max_connections` an idle connection is closed for a new one, which is refused if there is none.
    """

    max_head_size: int = 1_000_000
    max_body_size: int | None = None
    connect_timeout: float = 30.0
    head_timeout: float = 60.0
    client_idle_timeout: float = 600.0
    api_idle_timeout: float = 60.0
    linger_timeout: float = 5.0
    max_connections: int = 20_000
    max_partial_requests: int = 2_000


def within_descriptors(limits: Limits) -> Limits:
    """Return the limits with `max_connections` reduced to fit the open files of this process, two for each call.

    Without descriptors, asyncio would log a traceback for each client that it cannot accept.
    """
    if sys.platform == "win32":
        return limits  # no such limit can be queried
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits
    most = max(8, (soft - RESERVED_DESCRIPTORS) // 2)
    return replace(limits, max_connections=min(limits.max_connections, most))

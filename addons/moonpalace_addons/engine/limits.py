"""What the engine bears: sizes in bytes, times in seconds."""

import sys
from dataclasses import dataclass, replace

MAX_FIELDS = 1_000
"""Header fields of one message."""
SPARE_DESCRIPTORS = 128
"""Open files that are not for connections."""
MAX_CHUNKS = 100_000
"""Chunks of a request: reading many tiny ones takes time in which no other call goes on."""
MAX_REFUSAL = 16_000_000
"""Bytes of an answer that is held until it is known whether the request is sent again."""
MAX_INTERIM = 100
"""Interim answers (1xx) before an answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what clients and the API may take of the proxy's memory and patience.

    `idle` is for connections between two calls, `head` for the head of a request, from its first byte.
    """

    head_size: int = 1_000_000
    body_size: int | None = None
    connect_timeout: float = 30.0
    head_timeout: float = 60.0
    client_idle: float = 600.0
    api_idle: float = 60.0
    linger: float = 5.0
    max_connections: int = 20_000
    max_half_sent: int = 2_000


def within_descriptors(limits: Limits) -> Limits:
    """Return limits under which the open files of this process last: each call takes a connection on both sides.

    Beyond them asyncio would log a traceback for each client that it cannot accept.
    """
    if sys.platform == "win32":
        return limits  # there is no limit that can be asked for
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits
    most = max(8, (soft - SPARE_DESCRIPTORS) // 2)
    return replace(limits, max_connections=min(limits.max_connections, most))

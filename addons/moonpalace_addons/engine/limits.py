"""What the engine bears: sizes in bytes, times in seconds."""

from dataclasses import dataclass

MAX_FIELDS = 1_000
"""Header fields of one message."""
MAX_INTERIM = 100
"""Interim answers (1xx) before an answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what clients and the API may take of the proxy's memory and patience.

    `idle` is for connections between two calls and for tunnels, `head` for the head of a request, from its first byte.
    """

    head_size: int = 1_000_000
    body_size: int | None = None
    connect_timeout: float = 30.0
    head_timeout: float = 60.0
    client_idle: float = 600.0
    api_idle: float = 60.0
    tunnel_idle: float = 960.0
    linger: float = 2.0
    max_connections: int = 20_000
    max_half_sent: int = 2_000

"""State of a call that has become a tunnel."""

from dataclasses import dataclass, field

PASSED = "moonpalace_passed"
"""Metadata key of a flow: bytes to the API, bytes to the client, whether the client ended it (None if neither)."""
LEFT_OUT = "moonpalace_left_out"
"""Metadata key of a flow: bytes at the end of its last WebSocket message that were not kept."""
UNREAD = "moonpalace_unread"
"""Metadata key of a flow: whether messages of its WebSocket could not be read."""


@dataclass(slots=True)
class Tunnel:
    """An open tunnel, with the amounts of data from the client (True) and from the API (False)."""

    protocol: str
    began: float
    messages: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    size: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})

    def count(self, size: int, *, from_client: bool) -> None:
        """Count a message."""
        self.messages[from_client] += 1
        self.size[from_client] += size

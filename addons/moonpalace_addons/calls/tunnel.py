"""State of a call that has become a tunnel."""

from dataclasses import dataclass, field

PASSED = "moonpalace_passed"
"""Metadata key of a flow: bytes to the API, bytes to the client, whether the client ended it (None if neither)."""


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

"""How much to store in one transaction, learned from the time that the last ones took."""

from dataclasses import dataclass

MAX_SECONDS = 0.1
"""What a transaction is to take at most: until it is over nobody sees its rows, and nobody else can write."""

MAX_CALLS = 200
MIN_BYTES, FIRST_BYTES, MAX_BYTES = 100_000, 1_000_000, 8_000_000


@dataclass(slots=True)
class Pace:
    """How much goes into one transaction: `weight` bytes, about, of which one call may have more, and so many calls."""

    weight: int = FIRST_BYTES
    calls: int = MAX_CALLS

    def note(self, took: float) -> None:
        """Learn from a transaction that took so many seconds."""
        if took > MAX_SECONDS:
            self.weight = max(MIN_BYTES, int(self.weight * MAX_SECONDS / took / 2))
        elif took < MAX_SECONDS / 3:
            self.weight = min(MAX_BYTES, self.weight * 2)

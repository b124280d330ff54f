"""The size of transactions, adapted to the duration of the previous ones."""

from dataclasses import dataclass

MAX_SECONDS = 0.1
"""Target limit for a transaction: until it ends, its rows are invisible and nobody else can write."""

MAX_CALLS = 200
MIN_BYTES, FIRST_BYTES, MAX_BYTES = 100_000, 1_000_000, 8_000_000


@dataclass(slots=True)
class Pace:
    """Limits of one transaction: about `weight` bytes (a single call may have more) and `calls` calls."""

    weight: int = FIRST_BYTES
    calls: int = MAX_CALLS

    def note(self, took: float) -> None:
        """Adapt to a transaction that took `took` seconds."""
        if took > MAX_SECONDS:
            self.weight = max(MIN_BYTES, int(self.weight * MAX_SECONDS / took / 2))
        elif took < MAX_SECONDS / 3:
            self.weight = min(MAX_BYTES, self.weight * 2)

"""What a receiver made of a report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sent:
    """The report has arrived; `address` is where it can be found, as far as the receiver says."""

    address: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The report was not accepted, and would not be if it were sent again as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """The report was not accepted, or could not be sent; it may be in `seconds`, None if nobody says when."""

    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The report may have arrived."""

    reason: str


type Outcome = Sent | Refused | Later | InDoubt

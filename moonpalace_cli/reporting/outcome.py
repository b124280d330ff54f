"""The outcome of sending a report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sent:
    """The report has arrived; `address` is where it can be found, if the receiver says so."""

    address: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The report was rejected, and would be again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """The report was not accepted, or could not be sent; `seconds` is the wait for the next attempt, if known."""

    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The report may have arrived."""

    reason: str


type Outcome = Sent | Refused | Later | InDoubt

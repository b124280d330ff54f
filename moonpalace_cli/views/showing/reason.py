"""A cause that a rule has found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A cause: what the stored call shows, and what to do about it."""

    evidence: str
    advice: str

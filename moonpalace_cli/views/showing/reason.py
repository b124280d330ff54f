"""A cause that a rule has found."""

from __future__ import annotations

from dataclasses import dataclass

from moonpalace_cli.views.showing.phrases import Phrase


@dataclass(frozen=True, slots=True)
class Reason:
    """A cause: what the stored call shows, and what to do about it."""

    evidence: Phrase
    advice: Phrase

    def document(self) -> dict[str, str]:
        """Return it for programs, in English."""
        return {"evidence": str(self.evidence), "advice": str(self.advice)}

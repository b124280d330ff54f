"""A cause found by a rule."""

from __future__ import annotations

from dataclasses import dataclass

from moonpalace_cli.views.showing.phrases import Phrase


@dataclass(frozen=True, slots=True)
class Reason:
    """A cause: the evidence in the stored call, and advice."""

    evidence: Phrase
    advice: Phrase

    def document(self) -> dict[str, str]:
        """Return it for programs, in English."""
        return {"evidence": str(self.evidence), "advice": str(self.advice)}

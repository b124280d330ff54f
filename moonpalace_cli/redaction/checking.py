"""Detect secrets in a call, with their positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.wire.secrets import patterns, personal
from moonpalace_cli.redaction.call_strings import rewrite
from moonpalace_cli.redaction.replacing import Place, Replacement

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A secret in a call: its kind and its place."""

    kind: str
    place: Place

    def __str__(self) -> str:
        return f"{self.kind} in its {self.place}"


class Watch:
    """Record the secrets in all texts, without replacing any."""

    def __init__(self) -> None:
        self.found: list[FoundSecret] = []

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Check one text."""
        self.found += [FoundSecret(finding.kind, place) for finding in patterns.find(text)]
        self.found += [FoundSecret("password", place) for _ in personal.passwords(text)]
        return []

    def binary(self, place: Place, data: bytes) -> bytes:
        """Check a body that is not text, as far as possible."""
        self.text(place, data.decode("latin-1"))
        return data


def secrets_in(call: Call) -> list[FoundSecret]:
    """Return the suspected secrets of a call, in the order of its parts."""
    watch = Watch()
    rewrite(call, watch)
    return watch.found

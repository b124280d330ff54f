"""Tell whether a call seems to carry a secret, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.wire.secrets import patterns
from moonpalace_cli.redaction.call_strings import rewrite
from moonpalace_cli.redaction.replacing import Place, Replacement

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A secret in a call: what it is, and where it stands."""

    kind: str
    place: Place

    def __str__(self) -> str:
        return f"{self.kind} in its {self.place}"


class Watch:
    """Note the secrets in all texts, and replace nothing."""

    def __init__(self) -> None:
        self.found: list[FoundSecret] = []

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Look at one text."""
        self.found += [FoundSecret(finding.kind, place) for finding in patterns.find(text)]
        return []

    def binary(self, place: Place, data: bytes) -> bytes:
        """Look at a body that is not text, as far as that can be done."""
        self.text(place, data.decode("latin-1"))
        return data


def secrets_in(call: Call) -> list[FoundSecret]:
    """Return the secrets that a call seems to carry, in the order of its parts."""
    watch = Watch()
    rewrite(call, watch)
    return watch.found

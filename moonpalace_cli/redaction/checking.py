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


type Clean = set[tuple[int, int]]
"""Lengths and hashes of texts without secrets."""

MIN_REMEMBERED = 200
"""Characters from which remembering a text costs less than checking it again."""
MAX_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A secret in a call: its kind and its place."""

    kind: str
    place: Place

    def __str__(self) -> str:
        return f"{self.kind} in its {self.place}"


class Watch:
    """Record the secrets in all texts, without replacing any."""

    def __init__(self, clean: Clean) -> None:
        self.found: list[FoundSecret] = []
        self._clean = clean

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Check one text, unless it was found clean in an earlier call: agents resend their whole conversation."""
        key = (len(text), hash(text))
        if key in self._clean:
            return []
        found = [FoundSecret(finding.kind, place) for finding in patterns.find(text)]
        found += [FoundSecret("password", place) for _ in personal.passwords(text)]
        self.found += found
        if not found and len(text) >= MIN_REMEMBERED and len(self._clean) < MAX_REMEMBERED:
            self._clean.add(key)
        return []

    def binary(self, place: Place, data: bytes) -> bytes:
        """Check a body that is not text, as far as possible."""
        self.text(place, data.decode("latin-1"))
        return data


def secrets_in(call: Call, clean: Clean | None = None) -> list[FoundSecret]:
    """Return the suspected secrets of a call, in the order of its parts; `clean` remembers texts without any."""
    watch = Watch(set() if clean is None else clean)
    rewrite(call, watch)
    return watch.found

"""Say what to replace in a text, and do it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Replacement:
    """One piece of a text and what shall stand there instead."""

    start: int
    end: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text stands: in which part of a call, and the keys that lead to it there."""

    part: str
    path: tuple[str | int, ...] = ()

    @property
    def name(self) -> str:
        """Return the key or header name that the text stands under, in lower case; empty for none."""
        for key in reversed(self.path):
            if isinstance(key, str):
                return key.lower()
        return ""

    def at(self, *keys: str | int) -> "Place":
        """Return a place further in."""
        return Place(self.part, (*self.path, *keys))

    def __str__(self) -> str:
        return f"{self.part}, {'.'.join(map(str, self.path))}" if self.path else self.part


class Visitor(Protocol):
    """What is shown every text of a call, and every body that is not text."""

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Return what to replace, in the order of the text and apart from each other."""

    def binary(self, place: Place, data: bytes) -> bytes:
        """Return what shall stand for a body that is not UTF-8."""


def apply(text: str, replacements: Iterable[Replacement]) -> str:
    """Return the text with the replacements made, which are in order and apart."""
    pieces: list[str] = []
    position = 0
    for replacement in replacements:
        pieces += [text[position : replacement.start], replacement.text]
        position = replacement.end
    return "".join([*pieces, text[position:]])


def whole(text: str, instead: str) -> list[Replacement]:
    """Return the replacement of all of a text."""
    return [Replacement(0, len(text), instead)]

"""Replacements in a text, and their application."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Replacement:
    """A piece of text and its replacement."""

    start: int
    end: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a text: the part of the call, and the path of keys in it."""

    part: str
    path: tuple[str | int, ...] = ()

    @property
    def name(self) -> str:
        """Return the innermost key or header name in lower case; empty without one."""
        for key in reversed(self.path):
            if isinstance(key, str):
                return key.lower()
        return ""

    def at(self, *keys: str | int) -> "Place":
        """Return the place below these keys."""
        return Place(self.part, (*self.path, *keys))

    def __str__(self) -> str:
        return f"{self.part}, {'.'.join(map(str, self.path))}" if self.path else self.part


class Visitor(Protocol):
    """Receives every text of a call, and every body that is not text."""

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Return the replacements, in order and without overlaps."""

    def binary(self, place: Place, data: bytes) -> bytes:
        """Return the replacement of a body that is not UTF-8."""


def apply(text: str, replacements: Iterable[Replacement]) -> str:
    """Return the text with the replacements, which are in order and do not overlap."""
    pieces: list[str] = []
    position = 0
    for replacement in replacements:
        pieces += [text[position : replacement.start], replacement.text]
        position = replacement.end
    return "".join([*pieces, text[position:]])


def whole(text: str, instead: str) -> list[Replacement]:
    """Return the replacement of an entire text."""
    return [Replacement(0, len(text), instead)]

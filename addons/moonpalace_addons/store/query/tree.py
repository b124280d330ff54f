"""What a predicate says, as a tree of values; positions are numbers of characters in its text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

type Comparator = Literal["==", "!=", ">", ">=", "<", "<=", "~", "!~", "%", "!%", "@", "!@"]


@dataclass(frozen=True, slots=True)
class Member:
    """A step of a path to the member of an object that has this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Element:
    """A step of a path to an element of an array; negative numbers count from the end."""

    index: int


@dataclass(frozen=True, slots=True)
class AnyElement:
    """A step of a path to any element of an array."""


type Step = Member | Element | AnyElement


@dataclass(frozen=True, slots=True)
class Path:
    """What is looked at: a field, and for one that holds JSON the way into it; `measured` is its length, by `len`."""

    field: str
    steps: tuple[Step, ...]
    position: int
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    value: str
    position: int


@dataclass(frozen=True, slots=True)
class Number:
    """A whole or decimal number."""

    value: int | Decimal
    position: int


@dataclass(frozen=True, slots=True)
class Truth:
    """True or false."""

    value: bool
    position: int


@dataclass(frozen=True, slots=True)
class Null:
    """NULL."""

    position: int


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time, in nanoseconds; a negative one is that long ago."""

    nanoseconds: int
    position: int


@dataclass(frozen=True, slots=True)
class Day:
    """The day of now or the one before, as local clocks have it: "today" or "yesterday"."""

    name: str
    position: int


type Value = Text | Number | Truth | Null | Span | Day


@dataclass(frozen=True, slots=True)
class Comparison:
    """A path compared with a value; with several by `@` and `!@`."""

    path: Path
    comparator: Comparator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Presence:
    """A path alone: what it leads to exists and is not null."""

    path: Path


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    operand: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    operands: tuple[Node, ...]


type Node = Comparison | Presence | Not | And | Or


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below."""
    match node:
        case And(operands) | Or(operands):
            return operands
        case Not(operand):
            return (operand,)
        case _:
            return ()

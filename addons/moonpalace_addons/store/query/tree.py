"""The syntax tree of a predicate; positions are character offsets in its text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

type Comparator = Literal["==", "!=", ">", ">=", "<", "<=", "~", "!~", "%", "!%", "@", "!@"]


@dataclass(frozen=True, slots=True)
class Member:
    """A step of a path to the member of an object with this name."""

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
    """A field, with the steps into it if it is JSON; `measured` means its length, as with `len`."""

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
    """A duration in nanoseconds; a negative one is a time in the past."""

    nanoseconds: int
    position: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day in local time: "today" or "yesterday"."""

    name: str
    position: int


type Value = Text | Number | Truth | Null | Span | Day


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of a path with a value, or with several by `@` and `!@`."""

    path: Path
    comparator: Comparator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Presence:
    """A path alone: its value exists and is not null."""

    path: Path


@dataclass(frozen=True, slots=True)
class Not:
    """A negation."""

    operand: Node


@dataclass(frozen=True, slots=True)
class And:
    """A conjunction."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """A disjunction."""

    operands: tuple[Node, ...]


type Node = Comparison | Presence | Not | And | Or


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct children of a node."""
    match node:
        case And(operands) | Or(operands):
            return operands
        case Not(operand):
            return (operand,)
        case _:
            return ()

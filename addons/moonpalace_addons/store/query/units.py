"""Say in which unit a predicate's bare numbers are, where they stand for lengths of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from moonpalace_addons.store.fields import MILLISECOND, Field, find
from moonpalace_addons.store.query.tree import Comparison, Node, Number, children


@dataclass(frozen=True, slots=True)
class Bare:
    """A duration that is compared with a number without a unit."""

    text: str
    field: Field
    number: Number

    @property
    def is_odd(self) -> bool:
        """Tell whether nobody can have meant the unit that it has."""
        return -self.field.least < self.number.value < self.field.least

    @property
    def unit(self) -> str:
        """Return the unit that it has, in words."""
        return "milliseconds" if self.field.unit == MILLISECOND else "nanoseconds"


def remark(trees: list[Node], *, only_odd: bool = False) -> str | None:
    """Return a line on the numbers that durations are compared with, None where each has its unit."""
    told = [f"{each.text} means {each.unit}" for each in bare(trees) if each.is_odd or not only_odd]
    return f"{', '.join(dict.fromkeys(told))}: write 2s or 300ms for other units" if told else None


def bare(trees: list[Node]) -> Iterator[Bare]:
    """Give each comparison of a duration with a bare number; 0 needs no unit."""
    for tree in trees:
        yield from bare(list(children(tree)))
        if not isinstance(tree, Comparison) or tree.path.measured:
            continue
        field = find(tree.path.field)
        if field is None or field.unit is None:
            continue
        for value in tree.values:
            if isinstance(value, Number) and value.value:
                yield Bare(f"{tree.path.field} {tree.comparator} {value.value}", field, value)

"""Warn about durations that a predicate compares with numbers without a unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from moonpalace_addons.store.field import MILLISECOND, Field
from moonpalace_addons.store.fields import find
from moonpalace_addons.store.query.tree import Comparison, Node, Number, children


@dataclass(frozen=True, slots=True)
class BareDuration:
    """A comparison of a duration with a number without a unit."""

    text: str
    field: Field
    number: Number

    @property
    def is_implausible(self) -> bool:
        """Return whether the number is too small to be meant in the field's unit."""
        return -self.field.least < self.number.value < self.field.least

    @property
    def unit(self) -> str:
        """Return the name of the field's unit."""
        return "milliseconds" if self.field.unit == MILLISECOND else "nanoseconds"


def remark(trees: list[Node], *, only_implausible: bool = False) -> str | None:
    """Return a note on the durations compared with bare numbers; None if there are none."""
    notes = [
        f"{each.text} means {each.unit}"
        for each in bare_durations(trees)
        if each.is_implausible or not only_implausible
    ]
    return f"{', '.join(dict.fromkeys(notes))}: write 2s or 300ms for other units" if notes else None


def bare_durations(trees: list[Node]) -> Iterator[BareDuration]:
    """Yield each comparison of a duration with a bare number; 0 needs no unit."""
    for tree in trees:
        yield from bare_durations(list(children(tree)))
        if not isinstance(tree, Comparison) or tree.path.measured:
            continue
        field = find(tree.path.field)
        if field is None or field.unit is None:
            continue
        for value in tree.values:
            if isinstance(value, Number) and value.value:
                yield BareDuration(f"{tree.path.field} {tree.comparator} {value.value}", field, value)

"""The meaning of each field: the page of `mpal help columns`."""

from __future__ import annotations

from collections.abc import Iterator

from moonpalace_addons.store.field import MILLISECOND, Field
from moonpalace_addons.store.fields import SECTIONS, names_of

KINDS = {"moment": "time", "truth": "true or false", "json": "JSON, with paths into it", "set": "set"}


def columns_page() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Return sections: the title, and for each field its name and a line about it."""
    for title, fields in SECTIONS.items():
        yield title, [(field.name, line(field)) for field in fields]


def line(field: Field) -> str:
    """Return the meaning of a field, its kind, and its other names."""
    others = ", ".join(names_of(field)[1:])
    facts = "; ".join(text for text in (holds(field), others and f"also {others}") if text)
    return f"{field.meaning} ({facts})" if facts else field.meaning


def holds(field: Field) -> str:
    """Return the unit of a duration, or the kind of a field that is neither text nor a number."""
    if field.unit:
        return "ms" if field.unit == MILLISECOND else "ns"
    return KINDS.get(field.kind, "")

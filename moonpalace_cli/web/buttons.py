"""Buttons that write predicates into the filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.query.parser import parse
from moonpalace_addons.store.query.tree import Or
from moonpalace_cli.flags import filters

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

AND = " && "
MAX_OFFERED = 4
"""Maximum models, or keys, that have a button."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button; `query` is the filter after pressing it, and `is_on` says whether it is pressed now."""

    name: str
    predicate: str
    query: str
    is_on: bool
    is_verbatim: bool = False
    """Whether the name is a value from calls rather than one of our words."""


def buttons(query: str, calls: Sequence[Exchange]) -> Iterator[Button]:
    """Yield the buttons for a filter, including those for the models and the keys of the shown calls."""
    for name, predicate in fixed():
        yield button(query, name, predicate)
    yield from model_buttons(query, (call.model_answered or call.model_requested for call in calls))
    keys = offered(call.key_fingerprint for call in calls)
    for key in keys if len(keys) > 1 else ():
        yield button(query, f"key {key[:6]}", f"key_fingerprint == {filters.quoted(key)}", is_verbatim=True)


def model_buttons(query: str, models: Iterable[str | None]) -> Iterator[Button]:
    """Yield a button for each of the first models."""
    for model in offered(models):
        yield button(query, model, f"model == {filters.quoted(model)}", is_verbatim=True)


def fixed() -> Iterator[tuple[str, str]]:
    """Yield the name and the predicate of each permanent button."""
    yield "failed", next(filters.failed(True))
    yield "cut off", next(filters.cut(True))
    yield "slow", next(filters.slow("30s"))
    yield "expensive", "cost > 0.5"
    yield "last hour", "requested_at > -1h"
    yield "good", next(filters.category("goodcase")(True))
    yield "bad", next(filters.category("badcase")(True))


def offered(names: Iterable[str | None]) -> list[str]:
    """Return the first distinct names."""
    return list(dict.fromkeys(filter(None, names)))[:MAX_OFFERED]


def button(query: str, name: str, predicate: str, *, is_verbatim: bool = False) -> Button:
    """Return a button; pressing it again removes its predicate."""
    conditions = without(query, predicate)
    if conditions is not None:
        return Button(name, predicate, conditions, is_on=True, is_verbatim=is_verbatim)
    return Button(name, predicate, joined(query, predicate), is_on=False, is_verbatim=is_verbatim)


def joined(query: str, predicate: str) -> str:
    """Return a filter with an additional predicate."""
    return AND.join(enclosed(each) for each in (query.strip(), predicate) if each) if query.strip() else predicate


def without(query: str, predicate: str) -> str | None:
    """Return a filter without a predicate that a button added; None if it does not contain it."""
    query, part = query.strip(), enclosed(predicate)
    if query in (predicate, part):
        return ""
    if query.startswith(part + AND):
        return query.removeprefix(part + AND)
    return query.replace(AND + part, "", 1) if AND + part in query else None


def enclosed(predicate: str) -> str:
    """Return a predicate as a part of a conjunction: in parentheses if its conditions are joined by `or`."""
    try:
        tree = parse(predicate)
    except PredicateError:
        return predicate  # an invalid predicate stays as it is; the page shows the position of the mistake
    return f"({predicate})" if isinstance(tree, Or) else predicate

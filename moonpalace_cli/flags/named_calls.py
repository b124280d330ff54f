"""Resolve the names that users give calls: numbers, ranges, and identifiers or their beginnings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import NotFoundError
from moonpalace_cli.flags.numbers import MAX_INTEGER
from moonpalace_cli.output import note

if TYPE_CHECKING:
    from sqlalchemy import Engine

NUMBER = re.compile(r"#?([0-9]{1,19})")
RANGE = re.compile(r"#?([0-9]{1,19})-#?([0-9]{1,19})")
LIST = re.compile(r"#?[0-9]{1,19}(?:,#?[0-9]{1,19})+")
ELLIPSIS = re.compile(r"…|\.\.\.|~")
"""The characters that tables put in place of the middle of a long identifier."""
SHOWN = 10
"""Maximum ids named in a message."""


def named_ids(engine: Engine, names: Sequence[str]) -> list[int]:
    """Return the ids of the calls with these names, in their order and without duplicates.

    Raise NotFoundError for a name that no call has, and for one that is the beginning of several identifiers.
    """
    numbers = [int(match[1]) for name in names if (match := NUMBER.fullmatch(name))]
    existing(engine, numbers)
    return list(dict.fromkeys(row_id for name in names for row_id in ids_of(engine, name)))


def ids_of(engine: Engine, name: str) -> Sequence[int]:
    """Return the ids that a name stands for; the caller checks whether the numbers exist."""
    from moonpalace_addons.store.read import selection

    if match := NUMBER.fullmatch(name):
        return [int(match[1])]
    if match := RANGE.fullmatch(name):
        first, last = (min(int(end), MAX_INTEGER) for end in match.groups())
        if first > last:
            raise click.UsageError(f"the range {name} is empty: write {last}-{first}")
        if ids := selection.ids_between(engine, first, last):
            return ids
    return [identified(engine, name)]


def identified(engine: Engine, name: str) -> int:
    """Return the id of the newest call with this identifier, or with the only identifier that begins like this."""
    from moonpalace_addons.store.read import selection

    if ids := selection.called(engine, name):
        tell_others(ids)
        return ids[0]
    beginning, *end = ELLIPSIS.split(name, maxsplit=1)
    identifiers = selection.identified(engine, beginning, end[0] if end else "") if name.strip() else {}
    if not identifiers:
        hint = f"write {' '.join(name.split(','))}" if LIST.fullmatch(name) else "mpal list shows the stored calls"
        raise NotFoundError(f"no stored call matches {name!r}; {hint}")
    ids = list(identifiers)
    if not set[str].intersection(*map(set, identifiers.values())):
        raise NotFoundError(f"{name!r} matches the calls {listed(ids)}: write more of it")
    tell_others(ids)
    return ids[0]


def find_call(engine: Engine, *, row_id: int | None, chatcmpl: str | None, request_id: str | None) -> int:
    """Return the id of the newest call that matches all given identifiers, and name the others on standard error.

    Raise NotFoundError without a match.
    """
    from moonpalace_addons.store.records import exchanges

    identifiers = {"id": row_id, "chatcmpl": chatcmpl, "request_id": request_id}
    calls = exchanges.find(engine, id=row_id, chatcmpl=chatcmpl, request_id=request_id)
    if not calls:
        criteria = " and ".join(f"{name} {value}" for name, value in identifiers.items() if value is not None)
        raise NotFoundError(f"no stored call has {criteria}; mpal list shows the stored calls")
    ids = [exchange.id for exchange in calls]
    tell_others(ids)
    return ids[0]


def tell_others(ids: Sequence[int]) -> None:
    """Print on standard error the matching calls after the first, which is the newest."""
    newest, *others = ids
    if others:
        names = ", ".join(map(str, others))
        note(f"{len(ids)} calls match; this is the newest, {newest}; the others: {names}")


def existing(engine: Engine, ids: Sequence[int]) -> list[int]:
    """Return the ids without duplicates; raise NotFoundError that lists those that do not exist."""
    from moonpalace_addons.store.read import selection

    there = {exchange.id for exchange in selection.in_order(engine, [each for each in ids if each <= MAX_INTEGER])}
    missing = [row_id for row_id in dict.fromkeys(ids) if row_id not in there]
    if missing:
        raise NotFoundError(f"no stored call has id {listed(missing)}; mpal list shows the stored calls")
    return list(dict.fromkeys(ids))


def listed(ids: Sequence[int]) -> str:
    """Return ids for a message, only the first of many."""
    return ", ".join(map(str, ids[:SHOWN])) + (", …" if len(ids) > SHOWN else "")

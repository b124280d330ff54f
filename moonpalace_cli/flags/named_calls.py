"""Calls as people name them: numbers, ranges, and identifiers or their beginnings."""

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
"""What tables put in the place of the middle of a long identifier."""
SHOWN = 10
"""Maximum ids named in a message."""


def named_ids(engine: Engine, names: Sequence[str]) -> list[int]:
    """Return the ids of the calls with these names, in their order and without duplicates.

    Raise NotFoundError for a name that no call has, and for one that is the beginning of several identifiers.
    """
    numbers = [int(found[1]) for name in names if (found := NUMBER.fullmatch(name))]
    known(engine, numbers)
    return list(dict.fromkeys(row_id for name in names for row_id in ids_of(engine, name)))


def ids_of(engine: Engine, name: str) -> Sequence[int]:
    """Return the ids that a name stands for; whether a number exists is for the caller to check."""
    from moonpalace_addons.store.read import selection

    if found := NUMBER.fullmatch(name):
        return [int(found[1])]
    if found := RANGE.fullmatch(name):
        first, last = (min(int(end), MAX_INTEGER) for end in found.groups())
        if first > last:
            raise click.UsageError(f"the range {name} is empty: write {last}-{first}")
        if ids := selection.ids_between(engine, first, last):
            return ids
    return [identified(engine, name)]


def identified(engine: Engine, name: str) -> int:
    """Return the id of the newest call with this identifier, or with the only identifier that begins so."""
    from moonpalace_addons.store.read import selection

    if ids := selection.called(engine, name):
        tell_others(ids)
        return ids[0]
    beginning, *end = ELLIPSIS.split(name, maxsplit=1)
    found = selection.identified(engine, beginning, end[0] if end else "") if name.strip() else {}
    if not found:
        hint = f"write {' '.join(name.split(','))}" if LIST.fullmatch(name) else "mpal list shows what there is"
        raise NotFoundError(f"no stored call is called {name!r}; {hint}")
    ids = list(found)
    if not set[str].intersection(*map(set, found.values())):
        raise NotFoundError(f"{name!r} matches the calls {listed(ids)}: write more of it")
    tell_others(ids)
    return ids[0]


def find_call(engine: Engine, *, row_id: int | None, chatcmpl: str | None, request_id: str | None) -> int:
    """Return the id of the newest call that matches all given identifiers, and name the others on standard error.

    Raise NotFoundError without a match.
    """
    from moonpalace_addons.store.records import exchanges

    wanted = {"id": row_id, "chatcmpl": chatcmpl, "request_id": request_id}
    found = exchanges.find(engine, id=row_id, chatcmpl=chatcmpl, request_id=request_id)
    if not found:
        given = " and ".join(f"{name} {value}" for name, value in wanted.items() if value is not None)
        raise NotFoundError(f"no stored call has {given}; mpal list shows what there is")
    ids = [exchange.id for exchange in found]
    tell_others(ids)
    return ids[0]


def tell_others(ids: Sequence[int]) -> None:
    """Name the calls that match beside the first, which is the newest, on standard error."""
    newest, *others = ids
    if others:
        names = ", ".join(map(str, others))
        note(f"{len(ids)} calls match; this is the newest, {newest}; the others: {names}")


def known(engine: Engine, ids: Sequence[int]) -> list[int]:
    """Return the IDs without duplicates; raise NotFoundError that names those that do not exist."""
    from moonpalace_addons.store.read import selection

    there = {exchange.id for exchange in selection.in_order(engine, [each for each in ids if each <= MAX_INTEGER])}
    missing = [row_id for row_id in dict.fromkeys(ids) if row_id not in there]
    if missing:
        raise NotFoundError(f"no stored call has id {listed(missing)}; mpal list shows what there is")
    return list(dict.fromkeys(ids))


def listed(ids: Sequence[int]) -> str:
    """Return ids for a message, only the first of many."""
    return ", ".join(map(str, ids[:SHOWN])) + (", …" if len(ids) > SHOWN else "")

"""Delete calls with all that only they carried, and give the room back, in steps so small that nobody has to wait."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import with_cache
from moonpalace_addons.store.upkeep import retention, search_blocks, space, unused
from moonpalace_addons.store.upkeep.retention import Rule
from moonpalace_addons.store.upkeep.steps import Pace, in_steps
from moonpalace_addons.store.write import recovery

CACHE = 32_000_000
"""Bytes of an SQLite file to keep in memory: the index of a million pieces."""

MIN_PAGES, MAX_PAGES = 64, 16_384
"""Pages of an SQLite file to be given back in one step."""

ROUNDS = 8
"""How often to look again whether a store has become as small as it should: the room of a call is an estimate."""

TRIES, PAUSE = 20, 0.05
"""How often, and after how many seconds each, to try to cut the log off while readers are in the way."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean-up did, or would do: calls deleted, calls that stay only for their labels, bytes of the store."""

    deleted: int
    labelled: int
    size_before: int
    size_after: int


def preview(engine: Engine, rule: Rule, max_size: int | None) -> Cleaned:
    """Say which calls `clean` would delete; the size after it is unknown, and given as it is."""
    found = retention.expired(engine, rule)
    calls, labelled = set(found.calls), found.labelled
    size = space.size(engine)
    if max_size is not None and size > max_size:
        further = retention.oldest(engine, size - max_size, include_labelled=rule.include_labelled)
        calls.update(further.calls)
        labelled = max(labelled, further.labelled)
    return Cleaned(len(calls), labelled, size, size)


def clean(engine: Engine, rule: Rule, max_size: int | None, stop: threading.Event) -> Cleaned:
    """Delete the calls that go by the rule and then, while the store is larger than `max_size` bytes, the oldest ones.

    Ends early, with nothing half done, once `stop` is set.
    """
    with with_cache(engine, CACHE) as roomy:
        return clean_up(roomy, rule, max_size, stop)


def clean_up(engine: Engine, rule: Rule, max_size: int | None, stop: threading.Event) -> Cleaned:
    """Do what `clean` does on an engine of its own."""
    before = space.size(engine)
    found = retention.expired(engine, rule)
    deleted, labelled = delete(engine, found.calls, rule, stop), found.labelled
    sweep(engine, stop)
    for _ in range(ROUNDS if max_size is not None else 0):
        excess = space.size(engine) - (max_size or 0)
        if excess <= 0 or stop.is_set():
            break
        found = retention.oldest(engine, excess, include_labelled=rule.include_labelled)
        labelled = max(labelled, found.labelled)
        if not found.calls:
            break
        deleted += delete(engine, found.calls, rule, stop)
        sweep(engine, stop)
    give_back(engine, stop)
    return Cleaned(deleted, labelled, before, space.size(engine))


def compact(engine: Engine, cleaned: Cleaned) -> Cleaned:
    """Write the store anew after a clean-up, as small as can be; whoever else writes has to wait."""
    space.rewrite(engine)
    if engine.dialect.name == "sqlite":
        space.take_in_log(engine)
    return replace(cleaned, size_after=space.size(engine))


def delete(engine: Engine, calls: Sequence[int], rule: Rule, stop: threading.Event) -> int:
    """Delete calls, unless they have been labelled since they were found; return how many."""
    work = partial(retention.delete_calls, include_labelled=rule.include_labelled)
    return in_steps(engine, calls, work, stop)


def sweep(engine: Engine, stop: threading.Event) -> int:
    """Delete the pieces that no call has, and what the index has of calls that are gone; return how many pieces."""
    with engine.connect() as connection:
        blocks = search_blocks.empty(connection)
    in_steps(engine, blocks, search_blocks.forget, stop)
    notes = unused.look(engine)
    if notes.new:
        in_steps(engine, notes.new, unused.note, stop)
        notes = unused.look(engine)
    in_steps(engine, notes.used, partial(unused.forget, tokens=notes.tokens), stop)
    return in_steps(engine, notes.unused, partial(unused.delete_pieces, tokens=notes.tokens), stop)


def give_back(engine: Engine, stop: threading.Event) -> None:
    """Give free pages of an SQLite file back to the disk, and cut its log off."""
    if engine.dialect.name != "sqlite":
        return
    pace, left, before = Pace(MIN_PAGES, MIN_PAGES, MAX_PAGES), space.shrink(engine, 1), 0
    while left and left != before and not stop.is_set():
        with engine.connect() as connection:
            shared = recovery.is_in_use(connection)
        began, pages = time.monotonic(), pace.amount(shared=shared)
        before, left = left, space.shrink(engine, pages)
        stop.wait(pace.note(pages, time.monotonic() - began, shared=shared))
    for _ in range(TRIES):
        if space.take_in_log(engine) or stop.wait(PAUSE):
            break

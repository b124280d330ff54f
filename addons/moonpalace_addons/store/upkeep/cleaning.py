"""Delete calls with their unshared pieces and free the disk space, in steps small enough not to delay others."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import for_deleting
from moonpalace_addons.store.records import deliveries
from moonpalace_addons.store.upkeep import retention, search_blocks, space, unused
from moonpalace_addons.store.upkeep.retention import Rule
from moonpalace_addons.store.upkeep.steps import Pace, ignore, in_steps
from moonpalace_addons.store.write import recovery

CACHE_SIZE = 32_000_000
"""Page cache for SQLite in bytes: enough for the index of a million pieces."""

MIN_PAGES, MAX_PAGES = 64, 1_500
"""Pages of an SQLite file freed in one step: more than the cache holds would be written before they are freed."""

MAX_ROUNDS = 8
"""Rounds of deletion towards a maximum size, because the size of a call is an estimate."""

TRUNCATE_ATTEMPTS, TRUNCATE_INTERVAL = 20, 0.05
"""Attempts to truncate the log while readers block it, and the seconds between them."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The result of a clean-up: calls deleted, calls kept only for their labels, sizes of the store in bytes."""

    deleted: int
    labelled: int
    size_before: int
    size_after: int


def preview(engine: Engine, rule: Rule, max_size: int | None) -> Cleaned:
    """Return what `clean` would delete; the size after it is unknown and given as the present size."""
    expired = retention.expired(engine, rule)
    calls, labelled = set(expired.calls), expired.labelled
    size = space.size(engine)
    if max_size is not None and size > max_size:
        further = retention.oldest(engine, size - max_size, include_labelled=rule.include_labelled)
        calls.update(further.calls)
        labelled = max(labelled, further.labelled)
    return Cleaned(len(calls), labelled, size, size)


def clean(
    engine: Engine,
    rule: Rule,
    max_size: int | None,
    stop: threading.Event,
    done: Callable[[int], None] = ignore,
) -> Cleaned:
    """Delete the calls selected by the rule and then, while the store is larger than `max_size` bytes, the oldest.

    Stops between transactions once `stop` is set. `done` is called with the number of calls that one has deleted.
    """
    with for_deleting(engine, CACHE_SIZE) as own:
        return clean_up(own, rule, max_size, stop, done)


def clean_up(
    engine: Engine, rule: Rule, max_size: int | None, stop: threading.Event, done: Callable[[int], None]
) -> Cleaned:
    """Run `clean` on an engine with a large page cache."""
    before = space.size(engine)
    chosen = retention.expired(engine, rule)
    deleted, labelled = delete(engine, chosen.calls, rule, stop, done), chosen.labelled
    forget_reports(engine, stop)
    sweep(engine, stop)
    for _ in range(MAX_ROUNDS if max_size is not None else 0):
        excess = space.size(engine) - (max_size or 0)
        if excess <= 0 or stop.is_set():
            break
        chosen = retention.oldest(engine, excess, include_labelled=rule.include_labelled)
        labelled = max(labelled, chosen.labelled)
        if not chosen.calls:
            break
        deleted += delete(engine, chosen.calls, rule, stop, done)
        sweep(engine, stop)
    free_space(engine, stop)
    return Cleaned(deleted, labelled, before, space.size(engine))


def compact(engine: Engine, cleaned: Cleaned) -> Cleaned:
    """Rewrite the store after a clean-up to its minimal size; other writers have to wait."""
    space.rewrite(engine)
    if engine.dialect.name == "sqlite":
        space.truncate_log(engine)
    return replace(cleaned, size_after=space.size(engine))


def delete(engine: Engine, calls: Sequence[int], rule: Rule, stop: threading.Event, done: Callable[[int], None]) -> int:
    """Delete calls, except those labelled since they were selected; return their number."""
    work = partial(retention.delete_calls, include_labelled=rule.include_labelled)
    return in_steps(engine, calls, work, stop, done)


def forget_reports(engine: Engine, stop: threading.Event) -> int:
    """Delete the reports that have outlived their calls; return their number."""
    with engine.connect() as connection:
        outlived = deliveries.outlived(connection)
    return in_steps(engine, outlived, deliveries.forget, stop)


def sweep(engine: Engine, stop: threading.Event) -> int:
    """Delete unused pieces, and index blocks without calls; return the number of pieces."""
    with engine.connect() as connection:
        blocks = search_blocks.empty(connection)
    in_steps(engine, blocks, search_blocks.forget, stop)
    notes = unused.scan(engine)
    if notes.new:
        in_steps(engine, notes.new, unused.note, stop)
        notes = unused.scan(engine)
    in_steps(engine, notes.used, partial(unused.forget, tokens=notes.tokens), stop)
    return in_steps(engine, notes.unused, partial(unused.delete_pieces, tokens=notes.tokens), stop)


def free_space(engine: Engine, stop: threading.Event) -> None:
    """Return free pages of an SQLite file to the file system, and truncate its log."""
    if engine.dialect.name != "sqlite":
        return
    pace, remaining, before = Pace(MIN_PAGES, MIN_PAGES, MAX_PAGES), space.shrink(engine, 1), 0
    while remaining and remaining != before and not stop.is_set():
        with engine.connect() as connection:
            shared = recovery.is_in_use(connection)
        began, pages = time.monotonic(), pace.amount(shared=shared)
        before, remaining = remaining, space.shrink(engine, pages)
        stop.wait(pace.note(pages, time.monotonic() - began, shared=shared))
    for _ in range(TRUNCATE_ATTEMPTS):
        if space.truncate_log(engine) or stop.wait(TRUNCATE_INTERVAL):
            break

"""Offer the shell what is in the store: ids, completions, tags. Never fails, and gives up where it would be slow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    import click
    from sqlalchemy import Engine

    type Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

TIMEOUT = 1.5
"""Seconds that a user who pressed Tab waits; a database on another machine may take longer than that to answer."""


def from_store(offer: Callable[[Engine, str], list[CompletionItem]]) -> Completion:
    """Return a completion that asks the store of the command line at hand."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: list[CompletionItem] = []

        def ask() -> None:
            # Whatever goes wrong: the shell has no place to show it.
            with suppress(BaseException):
                found.extend(asked(context, offer, incomplete))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(TIMEOUT)
        return list(found)

    return complete


def asked(
    context: click.Context, offer: Callable[[Engine, str], list[CompletionItem]], incomplete: str
) -> list[CompletionItem]:
    """Return what the store offers; one that is missing, or that is not up to date, is not touched."""
    from moonpalace_addons.settings.values import resolve
    from moonpalace_addons.store.database.engine import make_engine, parse_url, sqlite_file

    config = context.params.get("setting_config")
    given = {"database": context.params.get("setting_database")}
    settings = resolve(given, os.environ, Path(config) if config else None, names=["database"])
    url = parse_url(settings.database)
    file = sqlite_file(url)
    if file is not None and not file.is_file():
        return []
    engine = make_engine(url)  # and not open_store, which may have much to bring up to date
    try:
        return offer(engine, incomplete)
    finally:
        engine.dispose()


def ids(engine: Engine, incomplete: str) -> list[CompletionItem]:
    """Return the newest ids."""
    from moonpalace_addons.store.read import selection

    if incomplete and not incomplete.isdigit():
        return []
    return [CompletionItem(str(number), help=text) for number, text in selection.ids_beginning(engine, incomplete)]


def names(column: str) -> Callable[[Engine, str], list[CompletionItem]]:
    """Return what offers the newest identifiers in a column."""

    def offer(engine: Engine, incomplete: str) -> list[CompletionItem]:
        from moonpalace_addons.store.read import selection

        return [CompletionItem(name) for name in selection.names_beginning(engine, column, incomplete)]

    return offer


def tags(engine: Engine, incomplete: str) -> list[CompletionItem]:
    """Return the tags, the most used first."""
    from moonpalace_addons.store.records import labels

    counted = labels.all_tags(engine, beginning=incomplete, limit=100)
    return [CompletionItem(tag, help=f"{calls} call{'' if calls == 1 else 's'}") for tag, calls in counted]


complete_id = from_store(ids)
complete_chatcmpl = from_store(names("chatcmpl_id"))
complete_request_id = from_store(names("msh_request_id"))
complete_tag = from_store(tags)

"""Shell completion from the store: IDs, completions, tags. It never fails, and gives up after a time limit."""

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
"""Seconds after which completion gives up; a database on another machine may take longer to answer."""


def from_store(offer: Callable[[Engine, str], list[CompletionItem]]) -> Completion:
    """Return a completion that queries the store of the current command line."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        items: list[CompletionItem] = []

        def ask() -> None:
            # Catch everything: the shell cannot show an error.
            with suppress(BaseException):
                items.extend(from_database(context, offer, incomplete))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(TIMEOUT)
        return list(items)

    return complete


def from_database(
    context: click.Context, offer: Callable[[Engine, str], list[CompletionItem]], incomplete: str
) -> list[CompletionItem]:
    """Return the store's suggestions; nothing if the store is missing or needs a migration."""
    from moonpalace_addons.settings.values import resolve
    from moonpalace_addons.store.database.engine import make_engine, parse_url, sqlite_file

    config = context.params.get("setting_config")
    flags = {"database": context.params.get("setting_database")}
    settings = resolve(flags, os.environ, Path(config) if config else None, names=["database"])
    url = parse_url(settings.database)
    file = sqlite_file(url)
    if file is not None and not file.is_file():
        return []
    engine = make_engine(url)  # not open_store, which may start a migration
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
    """Return a completion for the newest identifiers in a column."""

    def offer(engine: Engine, incomplete: str) -> list[CompletionItem]:
        from moonpalace_addons.store.read import selection

        return [CompletionItem(name) for name in selection.names_beginning(engine, column, incomplete)]

    return offer


def calls(engine: Engine, incomplete: str) -> list[CompletionItem]:
    """Return names of calls: the newest ids, or identifiers that begin like this."""
    numbers = ids(engine, incomplete)
    return numbers or [
        item for column in ("chatcmpl_id", "msh_request_id") for item in names(column)(engine, incomplete)
    ]


def tags(engine: Engine, incomplete: str) -> list[CompletionItem]:
    """Return the tags, most used first."""
    from moonpalace_addons.store.records import labels

    counted = labels.all_tags(engine, beginning=incomplete, limit=100)
    return [CompletionItem(tag, help=f"{calls} call{'' if calls == 1 else 's'}") for tag, calls in counted]


complete_id = from_store(ids)
complete_call = from_store(calls)
complete_model = from_store(names("model_requested"))
complete_chatcmpl = from_store(names("chatcmpl_id"))
complete_request_id = from_store(names("msh_request_id"))
complete_tag = from_store(tags)

"""Find the stored call given by a command's --id, --chatcmpl and --requestid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import NotFoundError, StoreError
from moonpalace_cli.deferred_imports import ASYNCIO, defer
from moonpalace_cli.flags.completing import complete_chatcmpl, complete_id, complete_request_id
from moonpalace_cli.flags.numbers import WholeNumber

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange

MAX_ID = 2**63 - 1


def identifier_flags[**P, T](function: Callable[P, T]) -> Callable[P, T]:
    """Add --id, --chatcmpl and --requestid, passed as `row_id`, `chatcmpl` and `request_id`."""
    options = (
        click.option(
            "--id",
            "row_id",
            type=WholeNumber(1, MAX_ID),
            shell_complete=complete_id,
            help="Number of the call, as list shows it.",
        ),
        click.option(
            "--chatcmpl",
            metavar="ID",
            shell_complete=complete_chatcmpl,
            help="Id of the completion, message or response.",
        ),
        click.option(
            "--requestid",
            "request_id",
            metavar="ID",
            shell_complete=complete_request_id,
            help="Msh-Request-Id of the answer.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@contextmanager
def opened(database: str) -> Iterator[Engine]:
    """Yield an engine on the store; turn database errors into a StoreError of one line."""
    # asyncio, with the TLS library that it imports, would take an eighth of the time of `mpal list`.
    defer("asyncio", ASYNCIO)
    # 0.3 s, which `mpal list --help` and shell completion need not pay.
    from sqlalchemy.exc import SQLAlchemyError

    from moonpalace_addons.store.database.opening import open_store

    engine = open_store(database)
    try:
        yield engine
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        raise StoreError(f"the database refuses: {str(reason).strip().splitlines()[0]}") from error
    finally:
        engine.dispose()


def find_call(engine: Engine, *, row_id: int | None, chatcmpl: str | None, request_id: str | None) -> Exchange:
    """Return the newest call that matches all given identifiers, and name the others on standard error.

    Raise UsageError without any identifier, NotFoundError without a match.
    """
    from moonpalace_addons.store.records import exchanges

    wanted = {"id": row_id, "chatcmpl": chatcmpl, "request_id": request_id}
    given = [f"{name} {value}" for name, value in wanted.items() if value is not None]
    if not given:
        raise click.UsageError("at least one of the flags in the group [id chatcmpl requestid] is required")
    found = exchanges.find(engine, id=row_id, chatcmpl=chatcmpl, request_id=request_id)
    if not found:
        raise NotFoundError(f"no stored call has {' and '.join(given)}; mpal list shows what there is")
    newest, *others = found
    if others:
        names = ", ".join(str(other.id) for other in others)
        click.echo(f"{len(found)} calls match; this is the newest, {newest.id}; the others: {names}", err=True)
    return newest

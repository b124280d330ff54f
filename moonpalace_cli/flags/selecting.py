"""Select the calls that a command works on: by identifiers, by predicates, the last ones, or all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import NotFoundError
from moonpalace_cli.flags.completing import complete_chatcmpl, complete_id, complete_request_id
from moonpalace_cli.flags.lookup import MAX_ID, find_call
from moonpalace_cli.flags.numbers import WholeNumber

if TYPE_CHECKING:
    from sqlalchemy import Engine

GROUP = "at least one of the flags in the group [id chatcmpl requestid] is required, or --last, --predicate, --all"
NAMED = 10
"""Maximum IDs named in a message."""


@dataclass(frozen=True, slots=True)
class CallSelection:
    """The requested calls."""

    ids: tuple[int, ...] = ()
    chatcmpl: str | None = None
    request_id: str | None = None
    last: int | None = None
    predicates: tuple[str, ...] = ()
    all: bool = False

    @property
    def is_many(self) -> bool:
        """Tell whether the request may match any number of calls."""
        return self.all or bool(self.predicates) or len(self.ids) > 1 or (self.last or 0) > 1

    def check(self) -> None:
        """Raise UsageError for options that exclude each other, and if nothing is requested."""
        names = {"--id": self.ids, "--chatcmpl": self.chatcmpl, "--requestid": self.request_id}
        identifiers = [name for name, value in names.items() if value]
        others = {"--predicate": self.predicates, "--last": self.last, "--all": self.all}
        ways = [name for name, value in others.items() if value]
        if not identifiers and not ways:
            raise click.UsageError(GROUP)
        pairs = [(one, other) for one in identifiers for other in ways]
        pairs += [("--all", other) for other in ways if self.all and other != "--all"]
        pairs += [("several --id", other) for other in identifiers[1:] if len(self.ids) > 1]
        if pairs:
            raise click.UsageError("{} and {} do not go together".format(*pairs[0]))

    def find(self, engine: Engine) -> list[int]:
        """Return the IDs of the calls, oldest first; given IDs in the order given.

        Raise NotFoundError if there are none, or if one of the IDs does not exist.
        """
        from moonpalace_addons.store.read import selection

        if len(self.ids) > 1:
            return known(engine, self.ids)
        if self.ids or self.chatcmpl or self.request_id:
            row_id = self.ids[0] if self.ids else None
            return [find_call(engine, row_id=row_id, chatcmpl=self.chatcmpl, request_id=self.request_id).id]
        condition = None
        if self.predicates:
            from moonpalace_addons.store.query.condition import condition as condition_of

            condition = condition_of(self.predicates, engine)
        found = selection.chosen_ids(engine, condition, last=self.last)
        if not found:
            what = "this predicate holds for no stored call" if self.predicates else "no call is stored yet"
            raise NotFoundError(f"{what}; mpal list shows what there is")
        return found


def known(engine: Engine, ids: tuple[int, ...]) -> list[int]:
    """Return the IDs without duplicates; raise NotFoundError that names those that do not exist."""
    from moonpalace_addons.store.read import selection

    there = {exchange.id for exchange in selection.in_order(engine, ids)}
    missing = [str(row_id) for row_id in dict.fromkeys(ids) if row_id not in there]
    if missing:
        names = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
        raise NotFoundError(f"no stored call has id {names}; mpal list shows what there is")
    return list(dict.fromkeys(ids))


def selection_flags[R](function: Callable[..., R]) -> Callable[..., R]:
    """Add the flags that select calls; the command receives them as one checked argument `wanted`."""

    @functools.wraps(function)
    def with_wanted(*args: object, **arguments: object) -> R:
        wanted = CallSelection(**{name: arguments.pop(f"wanted_{name}") for name in CallSelection.__slots__})  # type: ignore[arg-type]
        wanted.check()
        return function(*args, wanted=wanted, **arguments)

    options = (
        click.option(
            "--id",
            "wanted_ids",
            type=WholeNumber(1, MAX_ID),
            multiple=True,
            shell_complete=complete_id,
            help="Number of the call, as list shows it; may be given several times.",
        ),
        click.option(
            "--chatcmpl",
            "wanted_chatcmpl",
            metavar="ID",
            shell_complete=complete_chatcmpl,
            help="Id of the completion, message or response.",
        ),
        click.option(
            "--requestid",
            "wanted_request_id",
            metavar="ID",
            shell_complete=complete_request_id,
            help="Msh-Request-Id of the answer.",
        ),
        click.option(
            "--last",
            "wanted_last",
            type=WholeNumber(1, MAX_ID),
            is_flag=False,
            flag_value="1",
            metavar="[N]",
            help="The last call, or the last N.",
        ),
        click.option(
            "-p",
            "--predicate",
            "wanted_predicates",
            metavar="TEXT",
            multiple=True,
            help="All calls for which this holds, as mpal list takes it; with --last the last N of them.",
        ),
        click.option("--all", "wanted_all", is_flag=True, help="All calls."),
    )
    decorated: Callable[..., R] = with_wanted
    for option in reversed(options):  # click shows the flags in the reverse order of their decorators
        decorated = option(decorated)
    return decorated

"""Select the calls that a command works on: by identifiers, by filters, the last ones, or all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from moonpalace_addons.errors import NotFoundError
from moonpalace_cli.flags.completing import complete_call, complete_chatcmpl, complete_id, complete_request_id
from moonpalace_cli.flags.filters import NO_FILTERS, Filters, filter_options, take_filters
from moonpalace_cli.flags.lookup import NOTHING_STORED
from moonpalace_cli.flags.named_calls import RANGE, existing, find_call, named_ids
from moonpalace_cli.flags.numbers import WholeNumber

if TYPE_CHECKING:
    from sqlalchemy import Engine

type Default = Literal["none", "newest"]
"""What a command works on if nothing is selected: it requires a selection, or takes the newest call."""

GROUP = "at least one of the flags in the group [id chatcmpl requestid] is required"
PREFIX = "wanted_"


@dataclass(frozen=True, slots=True)
class CallSelection:
    """The requested calls.

    `names` are numbers, ranges and identifiers as users type them. `views` is set for commands that show full calls one
    after the other: they have no --all, and filters alone mean the newest call. `of_programs` excludes calls that
    MoonPalace made itself unless they are named; if nothing is selected, they are always excluded.
    """

    names: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    chatcmpl: str | None = None
    request_id: str | None = None
    last: int | None = None
    all: bool = False
    filters: Filters = NO_FILTERS
    views: bool = False
    default: Default = "none"
    of_programs: bool = False

    @property
    def is_many(self) -> bool:
        """Return whether the request may match any number of calls."""
        named = len(self.names) > 1 or any(map(RANGE.fullmatch, self.names))
        return self.all or self.is_filtered or named or len(self.ids) > 1 or (self.last or 0) > 1

    @property
    def is_filtered(self) -> bool:
        """Return whether there are filters."""
        return bool(self.filters.predicates)

    def check(self, command: str = "COMMAND") -> None:
        """Raise UsageError for options that exclude each other, and if nothing is requested."""
        names = {"--id": self.ids, "--chatcmpl": self.chatcmpl, "--requestid": self.request_id}
        identifiers = [name for name, value in names.items() if value not in (None, ())]
        others = {"a filter": self.is_filtered, "--last": self.last, "--all": self.all}
        ways = [name for name, value in others.items() if value]
        if not (identifiers or ways or self.names) and self.default == "none":
            last = (
                "--last or a filter such as --failed" if self.views else "--last, a filter such as --failed, or --all"
            )
            raise click.UsageError(f"{GROUP}, or an ID (mpal {command} 13), {last}")
        pairs = [(one, other) for one in identifiers for other in ways]
        pairs += [("--all", other) for other in ways if self.all and other != "--all"]
        pairs += [("several --id", other) for other in identifiers[1:] if len(self.ids) > 1]
        pairs += [(self.names[0], other) for other in (*identifiers, *ways) if self.names and other != "a filter"]
        if pairs:
            raise click.UsageError("{} and {} exclude each other".format(*pairs[0]))

    def find(self, engine: Engine) -> list[int]:
        """Return the ids of the calls, oldest first; named calls in the order given.

        Raise NotFoundError if there are none, or if a named call does not exist.
        """
        if self.names:
            return self._matching(engine, named_ids(engine, self.names))
        if len(self.ids) > 1:
            return existing(engine, self.ids)
        if self.ids or self.chatcmpl is not None or self.request_id is not None:
            row_id = self.ids[0] if self.ids else None
            return [find_call(engine, row_id=row_id, chatcmpl=self.chatcmpl, request_id=self.request_id)]
        return self._newest(engine, 1 if self.last is None and (self.views or not self.is_filtered) else self.last)

    def _matching(self, engine: Engine, ids: Sequence[int]) -> list[int]:
        """Return those of the calls that match the filters."""
        if not self.is_filtered:
            return list(ids)
        from moonpalace_addons.store.read import selection

        fitting = set(selection.chosen_ids(engine, self.filters.condition(engine)))
        if not fitting.intersection(ids):
            raise NotFoundError("none of these calls matches the filters")
        return [row_id for row_id in ids if row_id in fitting]

    def _newest(self, engine: Engine, count: int | None) -> list[int]:
        from moonpalace_addons.store.read import selection

        is_open = not (self.is_filtered or self.all or self.last)
        chosen = selection.chosen_ids(
            engine,
            self.filters.condition(engine),
            last=None if self.all else count,
            of_programs=self.of_programs or is_open,
        )
        if not chosen:
            raise NotFoundError(
                "no stored call matches; mpal list shows the stored calls" if self.is_filtered else NOTHING_STORED
            )
        return chosen


def selection_flags[R](
    *, views: bool = False, default: Default = "none", without: Sequence[str] = (), of_programs: bool = False
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add the flags that select calls; the command receives them as one checked argument `selected`.

    `without` names filters whose flags have another meaning in the command; see `CallSelection` for the rest.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(function)
        def with_wanted(*args: object, **arguments: object) -> R:
            parameters = {
                name: arguments.pop(PREFIX + name) for name in ("names", "ids", "chatcmpl", "request_id", "last")
            }
            parameters["all"] = arguments.pop(f"{PREFIX}all", False)
            parameters |= {"filters": take_filters(arguments), "views": views, "default": default}
            selected = CallSelection(**parameters, of_programs=of_programs)  # type: ignore[arg-type]
            selected.check(click.get_current_context().command_path.removeprefix("mpal "))
            return function(*args, selected=selected, **arguments)

        decorated = filter_options(with_wanted, without)
        for option in reversed(identifying(views=views)):  # click shows the flags in the reverse order
            decorated = option(decorated)
        return decorated

    return decorate


def identifying[R](*, views: bool) -> list[Callable[[Callable[..., R]], Callable[..., R]]]:
    """Return the argument and the options that name calls."""
    options: list[Callable[[Callable[..., R]], Callable[..., R]]] = [
        click.argument(f"{PREFIX}names", metavar="[ID]...", nargs=-1, shell_complete=complete_call),
        click.option(
            "--id",
            f"{PREFIX}ids",
            type=WholeNumber(1),
            multiple=True,
            shell_complete=complete_id,
            help="Number of the call, as list shows it; may be given several times.",
        ),
        click.option(
            "--chatcmpl",
            f"{PREFIX}chatcmpl",
            metavar="ID",
            shell_complete=complete_chatcmpl,
            help="Id of the completion, message or response.",
        ),
        click.option(
            "--requestid",
            "--request-id",
            f"{PREFIX}request_id",
            metavar="ID",
            shell_complete=complete_request_id,
            help="Msh-Request-Id of the answer.",
        ),
        click.option(
            "--last",
            f"{PREFIX}last",
            type=WholeNumber(1),
            is_flag=False,
            flag_value="1",
            metavar="[N]",
            help="The last call, or the last N; with filters, of those that match.",
        ),
    ]
    if not views:
        options.append(click.option("--all", f"{PREFIX}all", is_flag=True, help="All calls."))
    return options

"""The filters that commands share, as flags; each is a short form of a predicate."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from moonpalace_addons.store.state import State
from moonpalace_addons.wire.suggestions import did_you_mean
from moonpalace_cli.flags.completing import complete_model, complete_tag
from moonpalace_cli.flags.name_lists import complete_fields, split

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from sqlalchemy import ColumnElement, Engine

PREFIX = "filter_"
"""The prefix that distinguishes the parameters of filters from those of commands."""
LABELS = ("good", "bad", "tag")
"""Filters whose flags have another meaning in the commands that change labels."""
STATUS = re.compile(r"[1-5][0-9]{2}")
STATUS_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
AMOUNT = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?(?:ms|s|m|h))+|(?P<seconds>[0-9]+(?:\.[0-9]*)?)")


@dataclass(frozen=True, slots=True)
class Filters:
    """Predicates that must all hold."""

    predicates: tuple[str, ...] = ()

    def condition(self, engine: Engine) -> ColumnElement[bool] | None:
        """Return the condition on calls; None without a filter. Raise PredicateError for an invalid predicate."""
        if not self.predicates:
            return None
        # 0.1 s, which a command without filters need not pay.
        from moonpalace_addons.store.query.condition import condition

        return condition(self.predicates, engine)


NO_FILTERS = Filters()


def quoted(text: str) -> str:
    """Return a text as a string of the predicate language."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def matching(text: str) -> str:
    """Return the pattern that finds a text literally; a `*` at its ends keeps its meaning."""
    return quoted(re.sub(r"[\\%_]", r"\\\g<0>", text))


def named(values: Sequence[str], example: str) -> list[str]:
    """Return the names in these lists; raise ValueError for an empty list, which must not match all calls."""
    if any(not split([value]) for value in values):
        raise ValueError(f"it is empty: name one, such as {example}")
    return split(values)


def models(names: Sequence[str]) -> Iterator[str]:
    """Yield the predicate for calls of any of these models; part of a name is enough."""
    if requested := named(names, "kimi-k3"):
        yield " || ".join(f"model ~ {matching(name)}" for name in requested)


def statuses(names: Sequence[str]) -> Iterator[str]:
    """Yield the predicate for calls with any of these statuses or states."""
    if requested := named(names, "429"):
        yield " || ".join(map(one_status, requested))


def one_status(name: str) -> str:
    """Return the predicate for a status, a class such as 4xx, or a state."""
    if STATUS.fullmatch(name):
        return f"status_code == {name}"
    if match := STATUS_CLASS.fullmatch(name):
        return f"(status_code >= {match[1]}00 && status_code < {int(match[1]) + 1}00)"
    states = [state.value for state in State]
    if (state := name.lower().replace("-", "_")) in states:
        return f"state == '{state}'"
    hint = did_you_mean(name.lower(), states) or f"write 429, 4xx or a state: {', '.join(states)}"
    raise ValueError(f"{name!r} is not a status; {hint}")


def failed(is_given: bool) -> Iterator[str]:
    """Yield the predicate for calls that failed."""
    if is_given:
        yield "status_code >= 400 || error"


def cut(is_given: bool) -> Iterator[str]:
    """Yield the predicate for answers that were cut off by a limit or a failure."""
    if is_given:
        from moonpalace_addons.store.read import outcomes

        reasons = ", ".join(map(quoted, outcomes.AT_LIMIT + outcomes.CONTEXT_FULL))
        yield (
            f"finish_reason @ [{reasons}] || warnings ~ '{outcomes.NO_REASON}'"
            f" || (!finish_reason && warnings ~ '{outcomes.NO_END}')"
            " || (status && !(response_bytes == 0) && state @ ['upstream_failed', 'timed_out'])"
        )


def slow(text: str | None) -> Iterator[str]:
    """Yield the predicate for calls that took at least this long."""
    if text is None:
        return
    match = AMOUNT.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 5s, 300ms or 1m30s")
    yield f"latency >= {match[0]}{'s' if match['seconds'] else ''}"


def tags(names: Sequence[str]) -> Iterator[str]:
    """Yield a predicate for each tag that calls must have."""
    if not all(map(str.strip, names)):
        raise ValueError("it is empty: name a tag")
    return (f"tags == {quoted(name.strip())}" for name in names)


def category(name: str) -> Callable[[bool], Iterator[str]]:
    """Return the filter for a category."""

    def translated(is_given: bool) -> Iterator[str]:
        if is_given:
            yield f"category == '{name}'"

    return translated


def since(text: str | None) -> Iterator[str]:
    """Yield the predicate for calls that began at this time or later."""
    if text is not None:
        start, _ = period(text)
        yield f"requested_at >= '{start.isoformat()}'"


def until(text: str | None) -> Iterator[str]:
    """Yield the predicate for calls that began by this time; for a day or a minute, by its end."""
    if text is not None:
        _, end = period(text)
        yield f"requested_at < '{end.isoformat()}'"


def period(text: str) -> tuple[datetime, datetime]:
    """Return the start and the end of the period that a text names; raise ValueError."""
    from moonpalace_addons.store.query import times  # 0.01 s
    from moonpalace_addons.store.records.values import MICROSECOND

    now = datetime.now(UTC)
    parsed = times.read_time(text, now)
    start = times.since(text, now)  # raises with examples if it is not a time
    return start, start if parsed is None else start + (parsed.end - parsed.start) * MICROSECOND


def grep(phrases: Sequence[str]) -> Iterator[str]:
    """Yield a predicate for each search; raise ValueError for one without a word."""
    for phrase in phrases:
        from moonpalace_addons.store.query.words import terms  # 0.02 s

        terms(phrase)
        yield f"text ~ {quoted(phrase)}"


@dataclass(frozen=True, slots=True)
class Filter:
    """A flag; `translated` yields predicates for its value, or raises ValueError."""

    names: tuple[str, ...]
    translated: Callable[..., Iterator[str]]
    help: str
    metavar: str | None = None
    multiple: bool = False
    complete: Callable[[click.Context, click.Parameter, str], list[CompletionItem] | list[str]] | None = None

    @property
    def name(self) -> str:
        """Its name as a parameter."""
        return self.names[-1].lstrip("-").replace("-", "_")

    def option[F: Callable[..., object]](self) -> Callable[[F], F]:
        """Return click's decorator; the command's parameter has the predicates as its value."""

        def callback(context: click.Context, parameter: click.Parameter, value: object) -> tuple[str, ...]:
            try:
                return tuple(self.translated(value))
            except ValueError as error:
                raise click.BadParameter(str(error), context, parameter) from error

        return click.option(
            *self.names,
            PREFIX + self.name,
            is_flag=True if self.metavar is None else None,
            metavar=self.metavar,
            multiple=self.multiple,
            callback=callback,
            shell_complete=self.complete,
            help=self.help,
        )


FILTERS = (
    Filter(
        ("--model",),
        models,
        "Only calls of this model; a part of its name is enough. Several are separated by commas.",
        "NAME",
        multiple=True,
        complete=complete_model,
    ),
    Filter(
        ("--status",),
        statuses,
        "Only calls with this status or state: 429, 4xx, timed_out. Several are separated by commas.",
        "STATUS",
        multiple=True,
    ),
    Filter(("--failed",), failed, "Only calls with an error status, an error in the answer, or no complete answer."),
    Filter(("--cut",), cut, "Only answers that were cut off, by max_tokens, a full context or a broken connection."),
    Filter(("--slow",), slow, "Only calls that took at least this long: 5s, 300ms, 1m30s.", "DURATION"),
    Filter(("--tag",), tags, "Only calls with this tag.", "TEXT", multiple=True, complete=complete_tag),
    Filter(("--good",), category("goodcase"), "Only good cases."),
    Filter(("--bad",), category("badcase"), "Only bad cases."),
    Filter(
        ("--since",),
        since,
        "Only calls since then: -2h, -30m, -7d, 2024-07-29, '2024-07-29 21:30', 21:30, today.",
        "TIME",
    ),
    Filter(("--until",), until, "Only calls until the end of that day or minute: yesterday, 2024-07-29, -1h.", "TIME"),
    Filter(("--grep",), grep, "Only calls with these words in a message or the answer.", "WORDS", multiple=True),
    Filter(
        ("-p", "--predicate"),
        iter,
        "Only calls for which this holds; see mpal predicate --help.",
        "TEXT",
        multiple=True,
        complete=complete_fields,
    ),
)
"""All filters, in the order of the help."""


def filter_options[F: Callable[..., object]](function: F, without: Sequence[str] = ()) -> F:
    """Add the flags of all filters but some."""
    for each in reversed(FILTERS):  # click shows the flags in the reverse order of their decorators
        if each.name not in without:
            function = each.option()(function)
    return function


def take_filters(arguments: dict[str, object]) -> Filters:
    """Take the values of the filters out of a command's arguments."""
    predicates: list[str] = []
    for each in FILTERS:
        predicates += arguments.pop(PREFIX + each.name, ())  # type: ignore[arg-type]
    return Filters(tuple(predicates))


def filter_flags[R](function: Callable[..., R]) -> Callable[..., R]:
    """Add the filters to a command, which receives them as one argument `filters`."""

    @functools.wraps(function)
    def with_filters(*args: object, **arguments: object) -> R:
        filters = take_filters(arguments)
        return function(*args, filters=filters, **arguments)

    return filter_options(with_filters)

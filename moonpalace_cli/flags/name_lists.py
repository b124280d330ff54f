"""Parse and complete comma-separated lists of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import click

from moonpalace_addons.store.field import Field
from moonpalace_addons.wire.suggestions import did_you_mean
from moonpalace_cli.views.listing.columns import BY_NAME

type Complete = Callable[[click.Context, click.Parameter, str], list[str]]

PATHS = (
    "request_body.model",
    "request_body.stream",
    "request_body.messages.-1.role",
    "request_body.messages.-1.content",
    "response_body.model",
    "response_body.choices.0.finish_reason",
    "response_body.choices.0.message.content",
    "response_body.usage.total_tokens",
)
"""Paths into bodies that predicates use often."""
LAST_WORD = re.compile(r"[\w.*-]*\Z", re.ASCII)


def split(values: Iterable[str]) -> list[str]:
    """Return the names in these lists, without duplicates, in the order given."""
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def parse_columns(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns named by --columns; for an unknown one suggest the nearest."""
    for name in (names := split(values)):
        check_column(name, context, parameter)
    if values and not names:
        raise click.BadParameter("name at least one column", context, parameter)
    return tuple(names)


def parse_order(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Field, bool] | None:
    """Return the field named by --sort, and whether a leading minus asks for descending order."""
    if value is None:
        return None
    name = value.strip().removeprefix("-")
    check_column(name, context, parameter)
    field = BY_NAME[name].field
    if not field.is_sortable:
        raise click.BadParameter(f"cannot sort by {name}", context, parameter)
    return field, value.strip().startswith("-")


def check_column(name: str, context: click.Context, parameter: click.Parameter) -> None:
    """Reject an unknown column."""
    if name not in BY_NAME:
        hint = did_you_mean(name.lower(), BY_NAME) or "mpal help columns shows all"
        raise click.BadParameter(f"there is no column {name!r}; {hint}", context, parameter)


def completes(choices: Callable[[], Sequence[str]]) -> Complete:
    """Return a completion for a comma-separated list of these names, without those already in the list."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        used = set(before.split(","))
        return [before + comma + name for name in choices() if name.startswith(last) and name not in used]

    return complete


def complete_columns(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete --columns."""
    return completes(lambda: list(BY_NAME))(context, parameter, incomplete)


def complete_order(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete --sort; click treats a word with a leading minus as an option and does not pass it here."""
    return [name for name, column in BY_NAME.items() if column.field.is_sortable and name.startswith(incomplete)]


def complete_fields(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last word of a predicate if it may be a field."""
    match = LAST_WORD.search(incomplete)
    word = match[0] if match else ""
    before = incomplete[: len(incomplete) - len(word)]
    return [before + name for name in (*BY_NAME, *PATHS) if name.startswith(word)]

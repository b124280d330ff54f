"""The flags that choose the form in which records are printed."""

from __future__ import annotations

import functools
from collections.abc import Callable

import click

from moonpalace_cli.text.records import FORMS

NAMED = click.option("-o", "form_name", type=click.Choice(FORMS), help="How to print. Default: a table.")


def form_option[R](function: Callable[..., R]) -> Callable[..., R]:
    """Add -o to a command whose --json is not jsonl; it receives the argument `form`, a table by default."""

    @functools.wraps(function)
    def with_form(*args: object, **arguments: object) -> R:
        form = arguments.pop("form_name") or "table"
        if arguments.get("as_json") and form != "table":
            raise click.UsageError(f"--json and -o {form} exclude each other")
        return function(*args, form=form, **arguments)

    decorated: Callable[..., R] = NAMED(with_form)
    return decorated


def form_flags[R](function: Callable[..., R]) -> Callable[..., R]:
    """Add -o and --json, which stands for jsonl; the command receives one argument `form`."""

    @functools.wraps(function)
    def with_form(*args: object, **arguments: object) -> R:
        form, as_json = arguments.pop("form_name"), arguments.pop("form_json")
        if as_json and form not in (None, "jsonl"):
            raise click.UsageError("--json means -o jsonl: leave one of them out")
        return function(*args, form="jsonl" if as_json else form or "table", **arguments)

    as_json = click.option("--json", "form_json", is_flag=True, help="Print one JSON object per line, as -o jsonl.")
    decorated: Callable[..., R] = NAMED(as_json(with_form))
    return decorated

"""The flags that choose the form in which records are printed."""

from __future__ import annotations

import functools
from collections.abc import Callable

import click

from moonpalace_cli.text.records import FORMS


def form_flags[R](function: Callable[..., R]) -> Callable[..., R]:
    """Add -o and --json, which stands for jsonl; the command receives one argument `form`."""

    @functools.wraps(function)
    def with_form(*args: object, **arguments: object) -> R:
        form, as_json = arguments.pop("form_name"), arguments.pop("form_json")
        if as_json and form not in (None, "jsonl"):
            raise click.UsageError("--json means -o jsonl: leave one of them out")
        return function(*args, form="jsonl" if as_json else form or "table", **arguments)

    as_json = click.option("--json", "form_json", is_flag=True, help="Print one JSON object per line, as -o jsonl.")
    named = click.option("-o", "form_name", type=click.Choice(FORMS), help="How to print. Default: a table.")
    decorated: Callable[..., R] = named(as_json(with_form))
    return decorated

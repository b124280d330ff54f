"""`mpal cache`: the context caches that the proxy made, and why a prompt was not cached."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError, NotFoundError
from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.flags.forms import form_flags
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.meant import SuggestingGroup
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import print_json, terminal_width, visible
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.text.tables import fold
from moonpalace_cli.views.listing.columns import iso
from moonpalace_cli.views.listing.layout import lay_out

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.records.context_caches import ContextCache
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.views.showing.phrases import Phrase

COLUMNS = ("id", "cache_id", "state", "model", "messages", "bytes", "tokens", "uses", "used_at", "expires_at")
NUMBERS = ("messages", "bytes", "tokens", "uses")


@click.group(
    "cache",
    cls=SuggestingGroup,
    invoke_without_command=True,
)
@click.pass_context
def command(context: click.Context) -> None:
    """Show and clear the context caches of `mpal start --auto-cache`, and explain why a prompt was not cached."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("list")
@form_flags
@setting_flags("database")
def list_caches(form: Form, settings: Settings) -> None:
    """List the context caches, the most recently used first."""
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import context_caches

        written = local_time if form == "table" else iso_time
        caches = [record(cache, written) for cache in context_caches.all_caches(engine)]
    if form != "table":
        print_records((json.dumps(cache, ensure_ascii=False) for cache in caches), form)
        return
    rows = [[visible("" if cache[name] is None else str(cache[name])) for name in COLUMNS] for cache in caches]
    click.echo(lay_out(COLUMNS, rows, terminal_width(), right=NUMBERS))


@command.command("show")
@click.argument("name", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@setting_flags("database")
def show_cache(name: str, as_json: bool, settings: Settings) -> None:
    """Show one context cache, by its number or by the API's id."""
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import context_caches

        cache = context_caches.find(engine, name)
    if cache is None:
        raise NotFoundError(f"there is no context cache {name!r}; mpal cache list shows all")
    written = iso_time if as_json else local_time
    values = record(cache, written) | {
        "endpoint": cache.endpoint,
        "key_fingerprint": cache.key_fingerprint,
        "prefix_hash": cache.prefix_hash.hex(),
        "created_at": written(cache.created_at),
    }
    if as_json:
        print_json(json.dumps(values, ensure_ascii=False))
        return
    width = max(map(len, values))
    for key, value in values.items():
        click.echo(visible(f"{key:<{width}}  {'' if value is None else value}".rstrip()))


@command.command("clear")
@click.option("--expired", is_flag=True, help="Remove only expired caches.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@setting_flags("database")
def clear_caches(expired: bool, as_json: bool, settings: Settings) -> None:
    """Remove the context caches from the store.

    The API deletes them when their time to live is over; a running proxy that finds one of the removed caches at the
    API deletes it there.
    """
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import context_caches

        count = context_caches.clear(engine, expired_at=time.time_ns() // 1000 if expired else None)
    if as_json:
        print_json(json.dumps({"forgotten": count}))
    else:
        click.echo(f"removed {count} context {'cache' if count == 1 else 'caches'}")


@command.command("why", short_help="Explain why the prompt of a call was cached or not.")
@selection_flags(default="newest")
@form_flags
@setting_flags("database")
def why(selected: CallSelection, form: Form, settings: Settings) -> None:
    """Explain why the prompt of a call was cached or not; without an ID, of the newest.

    The call is compared with the one that it continues: of the 50 before it with the same key, the one that has the
    most messages in common, preferably one for the same model that had ended, because models do not share caches. If
    none has a message in common, it is compared with the one whose prompt is nearly the same. The output shows the
    message at which the two prompts part, the change there, how many cached tokens it cost, and whether the cache had
    expired. The API caches the beginning of a prompt (tools, instructions, messages) up to the first difference: Kimi
    in blocks of 256 tokens. This needs no --auto-cache.

    For many calls (several IDs, --last N, --all or a filter such as --since), the misses are ranked by cost, and calls
    that share no beginning with an earlier one are counted.

    In a Chinese locale the explanation of a single call is in Chinese; other output is always in English.
    """
    with opened(settings.database, needs_calls=True) as engine:
        ids = selected.find(engine)
        if selected.is_many:
            rank(engine, ids, form)
            return
        from moonpalace_addons.store.read import selection

        for call in selection.in_order(engine, ids):
            explain(engine, call, form)


def rank(engine: Engine, ids: Sequence[int], form: Form) -> None:
    """Print the misses among these calls, most expensive first."""
    from moonpalace_cli.views.context_caches import misses, prefix_report

    surveyed = misses.survey(engine, ids)
    costly = misses.ranked(surveyed.misses)
    if form != "table":
        print_records((json.dumps(prefix_report.document(each), ensure_ascii=False) for each in costly), form)
        return
    if not costly:
        click.echo(f"none of these {len(ids):,} calls missed a cache that it could have used")
    else:
        click.echo(visible(misses.table(costly, terminal_width())))
    for line in surveyed.lines():
        click.echo(visible(line))


def explain(engine: Engine, call: Exchange, form: Form) -> None:
    """Print why the prompt of a call was cached or not."""
    from moonpalace_cli.views.context_caches import prefix_report
    from moonpalace_cli.views.context_caches.misses import Prompts
    from moonpalace_cli.views.context_caches.prompts import is_known

    if not is_known(call.path):
        raise MoonPalaceError(not_comparable(call))
    prompts = Prompts(engine)
    if prompts.of(call) is None:
        raise MoonPalaceError(f"the prompt of call {call.id} cannot be read")
    finding = prompts.found(call)
    if finding is None:
        print_alone(call, form)
        return
    if form != "table":
        print_records([json.dumps(prefix_report.document(finding), ensure_ascii=False)], form)
        return
    for line in prefix_report.lines(finding):
        print_sentence(line)


def print_sentence(sentence: Phrase) -> None:
    """Print a sentence in the language and the width of the terminal."""
    from moonpalace_cli.explaining.language import terminal_language

    text, width = visible(sentence.in_language(terminal_language())), terminal_width()
    click.echo(text if width is None else "\n".join(fold(text, width)))


def not_comparable(call: Exchange) -> str:
    """Return why nothing is known of a call to an endpoint whose caching is unknown."""
    cached = f"; {cached_of(call)}" if call.cached_tokens is not None else ""
    return (
        f"why call {call.id} was cached or not is unknown: it went to {call.path}, and only prompts of chat "
        f"completions, messages and responses can be compared{cached}"
    )


def cached_of(call: Exchange) -> str:
    """Return how much of a prompt was cached."""
    return f"{call.cached_tokens or 0:,} of its {call.prompt_tokens or 0:,} prompt tokens were cached"


def print_alone(call: Exchange, form: Form) -> None:
    """Report that a call does not continue another one."""
    if form != "table":
        values = {"id": call.id, "earlier_id": None, "cached_tokens": call.cached_tokens}
        print_records([json.dumps(values)], form)
        return
    from moonpalace_cli.views.showing.phrases import phrase

    remark = phrase(": none of them has a message in common with it, or a prompt nearly like it")
    if call.cached_tokens:
        remark = phrase(
            ", yet {count} of its {all} prompt tokens were cached: another call, older or not in this store, began in "
            "the same way",
            count=f"{call.cached_tokens:,}",
            all=f"{call.prompt_tokens or 0:,}",
        )
    print_sentence(
        phrase("call {id} continues none of the (at most 50) calls before it{cached}", id=call.id, cached=remark)
    )


def record(cache: ContextCache, written: Callable[[int], str]) -> dict[str, str | int | None]:
    """Return a cache as `list` shows it, with its times formatted by `written`."""
    expired = cache.expires_at <= time.time_ns() // 1000
    return {
        "id": cache.id,
        "cache_id": cache.cache_id,
        "state": "expired" if expired else cache.state,
        "model": cache.model,
        "messages": cache.prefix_messages,
        "bytes": cache.prefix_bytes,
        "tokens": cache.tokens,
        "uses": cache.uses,
        "used_at": written(cache.used_at),
        "expires_at": written(cache.expires_at),
    }


def iso_time(microseconds: int) -> str:
    """Return a time for programs, in the format of `mpal list --json`."""
    return iso(datetime.fromtimestamp(microseconds / 1e6, UTC))

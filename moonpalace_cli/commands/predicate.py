"""`mpal predicate`: explain a predicate and its execution plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import visible

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.query.plans import Plan
    from moonpalace_addons.store.query.tree import Node

MAX_SHOWN = 1000
"""Maximum characters shown of a value, or of a step of a plan."""


@click.command("predicate")
@click.argument("text")
@setting_flags("database")
def command(text: str, settings: Settings) -> None:
    """Explain a predicate, as list --predicate takes it: its meaning, its SQL, and whether it uses an index.

    A predicate compares fields with values, joined by && (and), || (or), not and parentheses; && binds tighter:

    \b
      status == 200 && latency > 2s
      request_body.model == 'kimi-k3' || model ~ 'moonshot*'
      response_body.choices.0.finish_reason == 'length'
      request_body.messages.-1.role @ ['tool', 'assistant']
      request_body.messages.*.role == 'tool' and not tags == 'seen'
      len(request_body.messages) > 20 && requested_at > -2h
      text ~ 'words to find'

    Operators: == != > >= < <=, ~ (LIKE: anywhere, or from one end with * at the other; % and _ are wildcards), % (a
    regular expression), @ [..] (one of), and !~ !% !@. A field alone holds where it exists and is not null.

    Fields are the columns of list --columns (mpal help columns shows all), text, and paths into request_body and
    response_body: names, numbers of elements (negative ones from the end), * for any element; names with odd characters
    in back quotes.
    """  # noqa: D301 - the backspace keeps click from filling the paragraph
    # SQLAlchemy and lark: 0.4 s, which the help need not pay.
    from moonpalace_addons.store.query.candidates import share
    from moonpalace_addons.store.query.condition import condition
    from moonpalace_addons.store.query.explaining import searches
    from moonpalace_addons.store.query.parser import parse
    from moonpalace_addons.store.query.plans import plan
    from moonpalace_addons.store.query.units import remark

    tree = parse(text)
    with store_or_empty(settings.database) as engine:
        query_plan = plan(condition([text], engine), engine)
        shares = {phrase: share(phrase, engine) for phrase in searches(tree)}
    click.echo("\n".join(lines(tree, query_plan, shares)))
    if note := remark([tree]):
        click.echo(visible(note), err=True)


@contextmanager
def store_or_empty(database: str) -> Iterator[Engine]:
    """Yield an engine on the store, or on an empty one in memory if it does not exist."""
    from moonpalace_addons.store.database.engine import parse_url, sqlite_file

    file = sqlite_file(parse_url(database))
    if file is None or file.exists():
        with opened(database) as engine:
            yield engine
        return
    from sqlalchemy import StaticPool, create_engine

    from moonpalace_addons.store.schema import METADATA

    engine = create_engine("sqlite://", poolclass=StaticPool)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def lines(tree: Node, plan: Plan, shares: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Yield the output; `shares` has for each search the number of calls that it reads, and the total."""
    from moonpalace_addons.store.query.explaining import index_in, outline

    yield "Predicate:"
    yield from (f"  {visible(line)}" for line in outline(tree))
    yield "SQL:"
    yield from (f"  {line.strip()}" for line in plan.sql.splitlines())
    yield "Values:"
    yield f"  {visible(', '.join(shortened(repr(value)) for value in plan.values))}"
    yield "Plan:"
    yield from (f"  {shortened(step)}" for step in plan.steps)
    for phrase, (some, total) in shares.items():
        calls = f"{some} of {total} calls are read; the index of words rules out the others"
        yield f"Search: {visible(repr(phrase))}: {calls if some < total else 'all calls are read'}"
    yield f"Index: {index_in(plan.steps) or 'none; calls are read from the newest until enough are found'}"


def shortened(text: str) -> str:
    """Return a text; cut the middle out of a very long one, such as the list of calls that a search reads."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]} … {text[-MAX_SHOWN // 2 :]}"

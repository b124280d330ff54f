"""`mpal label`: set and show labels of calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from moonpalace_cli.flags.filters import LABELS
from moonpalace_cli.flags.forms import form_flags
from moonpalace_cli.flags.labelling import category_of, parse_note, tag_option
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import visible
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.text.tables import box

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings

COLUMNS = ("id", "category", "tags", "note")


@click.command("label")
@selection_flags(without=LABELS)
@click.option("--good", is_flag=True, help="Mark the calls as good cases.")
@click.option("--bad", is_flag=True, help="Mark the calls as bad cases.")
@click.option("--clear", is_flag=True, help="Remove the category.")
@tag_option("--tag", "tags", about="Add a tag; may be given several times.")
@tag_option("--untag", about="Remove a tag; may be given several times.")
@click.option("--note", metavar="TEXT", callback=parse_note, help="Set the note; an empty text removes it.")
@form_flags
@setting_flags("database")
def command(
    selected: CallSelection,
    good: bool,
    bad: bool,
    clear: bool,
    tags: tuple[str, ...],
    untag: tuple[str, ...],
    note: str | None,
    form: Form,
    settings: Settings,
) -> None:
    """Label stored calls: a category, tags, a note. Without any of them, show the labels of the calls.

    The calls are named as in mpal label 13 15-20 --bad, or chosen by flags.

    Predicates, list and export can use the labels.
    """
    category = category_of(good=good, bad=bad)
    if clear and category is not None:
        raise click.UsageError("--clear removes the category: leave out --good and --bad")
    both = [tag for tag in tags if tag in untag]
    if both:
        raise click.UsageError(f"--tag and --untag name the same tag, {both[0]!r}")
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import labels

        ids = selected.find(engine)
        changes = labels.Change(category="" if clear else category, note=note, tag=tags, untag=untag)
        changed = changes != labels.Change()
        count = labels.change(engine, ids, changes) if changed else 0
        if form != "table":
            print_records((json.dumps(row, ensure_ascii=False) for row in rows(engine, ids)), form)
        elif changed:
            click.echo(f"labelled {count:,} call{'' if count == 1 else 's'}")
        else:
            click.echo(box(COLUMNS, [[visible(cell(row[name])) for name in COLUMNS] for row in rows(engine, ids)]))


def rows(engine: Engine, ids: Sequence[int]) -> list[dict[str, object]]:
    """Return the labels of the calls."""
    from moonpalace_addons.store.read import selection
    from moonpalace_addons.store.records import labels

    tags = labels.tags_of(engine, ids)
    return [
        {
            "id": exchange.id,
            "category": exchange.category,
            "tags": list(tags.get(exchange.id, ())),
            "note": exchange.note,
        }
        for exchange in selection.in_order(engine, ids)
    ]


def cell(value: object) -> str:
    """Return a value as a cell."""
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)

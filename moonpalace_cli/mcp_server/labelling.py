"""Label calls, if the server is allowed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.flags.labelling import parse_note, parse_tags
from moonpalace_cli.mcp_server.arguments import Parameter

if TYPE_CHECKING:
    from moonpalace_addons.store.records.labels import Change
    from moonpalace_cli.mcp_server.reading import Reader

CATEGORIES = {"good": "goodcase", "bad": "badcase", "none": ""}
PARAMETERS = (
    Parameter("category", "Mark the call as a good or bad case, or take the mark away.", choices=tuple(CATEGORIES)),
    Parameter("tags", "Tags to add.", "texts"),
    Parameter("untag", "Tags to remove.", "texts"),
    Parameter("note", "The note; an empty text removes it."),
)


def label(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Change the labels of a call, and confirm it."""
    from moonpalace_addons.store.database.opening import open_store
    from moonpalace_addons.store.records import labels

    row_id = reader.find(arguments["call"])
    change = change_of(arguments)
    if change == labels.Change():
        raise MoonPalaceError("give a category, tags, untag or a note")
    engine = open_store(reader.options.database)  # the reader's own engine is read-only
    try:
        labels.change(engine, [row_id], change)
    finally:
        engine.dispose()
    return f"Labelled call {row_id}."


def change_of(arguments: Mapping[str, object]) -> Change:
    """Return the requested change, checked like the flags of mpal label."""
    from moonpalace_addons.store.records.labels import Change

    context, parameter = click.Context(click.Command("label")), click.Argument(["label"])
    category, note = (cast("str | None", arguments.get(name)) for name in ("category", "note"))
    try:
        tags, untag = (parse_tags(context, parameter, texts(arguments.get(name))) for name in ("tags", "untag"))
        return Change(
            category=None if category is None else CATEGORIES[category],
            note=parse_note(context, parameter, note),
            tag=tags,
            untag=untag,
        )
    except click.BadParameter as error:
        raise MoonPalaceError(error.message) from error


def texts(value: object) -> tuple[str, ...]:
    """Return a text or a list of texts as texts."""
    return () if value is None else (value,) if isinstance(value, str) else tuple(cast("list[str]", value))

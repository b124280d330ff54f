"""Labels of a call, changed at `/calls/ID/labels`."""

from __future__ import annotations

from urllib.parse import urlencode

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.records import labels
from moonpalace_cli.flags.labelling import parse_note, parse_tags
from moonpalace_cli.web.call import read_call
from moonpalace_cli.web.page import Page

CATEGORIES = {"good": "goodcase", "bad": "badcase", "": ""}


class LabelPage(Page):
    """Change the category, the tags and the note of a call."""

    async def post(self, row_id: str) -> None:
        """Change the labels that the form contains; others are kept."""
        number, change = int(row_id), self.change()
        engine = self.console.engine
        await self.read(lambda: labels.change(engine, [read_call(engine, number).call.id], change))
        if self.wants_json:
            self.give_json(await self.read(lambda: self.document(number)))
            return
        query = self.get_body_argument("q", "")
        self.redirect(f"/calls/{number}" + (f"?{urlencode({'q': query})}" if query else ""), status=303)

    def document(self, number: int) -> dict[str, object]:
        """Return the labels of a call, as `mpal label --json`."""
        known = read_call(self.console.engine, number).known
        return {"id": number, "category": known.call.category, "tags": list(known.tags), "note": known.call.note}

    def change(self) -> labels.Change:
        """Return the change requested by the form; raise MoonPalaceError for an invalid label."""
        form = self.fields()
        category = form.get("category")
        if category is not None and category not in CATEGORIES:
            raise MoonPalaceError("category is good, bad or empty")
        context, parameter = click.Context(click.Command("label")), click.Option(["--tag"])
        try:
            tag, untag = (
                parse_tags(context, parameter, tuple(filter(None, [form.get(name, "")]))) for name in ("tag", "untag")
            )
            note = parse_note(context, parameter, form.get("note"))
        except click.BadParameter as error:
            raise MoonPalaceError(error.message) from error
        return labels.Change(None if category is None else CATEGORIES[category], note, tag, untag)

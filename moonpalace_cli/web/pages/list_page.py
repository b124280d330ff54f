"""The list of calls, at `/`: newest first, filtered by a predicate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Engine

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.read.paging import Page as Calls
from moonpalace_addons.store.read.paging import Place, page
from moonpalace_addons.wire.suggestions import did_you_mean
from moonpalace_cli.flags.name_lists import split
from moonpalace_cli.views.listing.columns import BY_NAME, chosen
from moonpalace_cli.views.listing.listed import complete
from moonpalace_cli.views.listing.printing import json_line, needs_of, record_columns
from moonpalace_cli.web.buttons import Button, buttons
from moonpalace_cli.web.page import Page
from moonpalace_cli.web.rows import Row, rows

ROWS = 100
"""Calls per page."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list."""

    calls: Calls
    rows: Sequence[Row]
    buttons: Sequence[Button]
    mistake: PredicateError | None = None


class ListPage(Page):
    """Show calls, newest first."""

    async def get(self) -> None:
        """Answer with a page of the list."""
        query = self.argument("q")
        before, after = (self.place(name) for name in ("before", "after"))
        if self.wants_json:
            columns = tuple(split([self.argument("columns")]))
            self.give_json(await self.read(lambda: document(self.console.engine, query, before, after, columns)))
            return
        listing = await self.read(lambda: listed(self.console.engine, query, before, after))
        if listing.mistake is not None:
            self.set_status(400)
        calls = listing.calls.calls
        newer = address(query, after=Place.of(calls[0])) if calls and listing.calls.has_newer else None
        older = address(query, before=Place.of(calls[-1])) if calls and listing.calls.has_older else None
        is_first = before is None and after is None
        pages = {"newer": newer, "older": older, "is_first": is_first, "address": address}
        self.give_page("list.html", section="list", listing=listing, query=query, suffix=suffix(query), **pages)

    def place(self, name: str) -> Place | None:
        """Return the position in the order of age given by an argument; raise MoonPalaceError if it is invalid."""
        text = self.argument(name)
        position = Place.read(text)
        if text and position is None:
            raise MoonPalaceError(f"{name} is not a place in the list: use the links newer and older of an answer")
        return position


def address(query: str, *, before: Place | None = None, after: Place | None = None) -> str:
    """Return the address of a page of the list."""
    parameters = {"q": query, "before": before and before.text, "after": after and after.text}
    arguments = urlencode({name: value for name, value in parameters.items() if value})
    return f"/?{arguments}" if arguments else "/"


def suffix(query: str) -> str:
    """Return the end of an address that passes a filter to another page."""
    return f"?{urlencode({'q': query})}" if query else ""


def filtered(engine: Engine, query: str, before: Place | None, after: Place | None) -> Calls:
    """Return a page of the calls that match a predicate; raise PredicateError for an invalid predicate."""
    where = condition([query], engine) if query.strip() else None
    return page(engine, ROWS, before=before, after=after, where=where)


def listed(engine: Engine, query: str, before: Place | None, after: Place | None) -> Listing:
    """Return a page of the list; a mistake in the predicate is shown at its position."""
    try:
        calls = filtered(engine, query, before, after)
    except PredicateError as error:
        return Listing(Calls([], has_newer=False, has_older=False), [], list(buttons("", [])), error)
    return Listing(calls, list(rows(engine, calls.calls)), list(buttons(query, calls.calls)))


def document(engine: Engine, query: str, before: Place | None, after: Place | None, names: Sequence[str]) -> str:
    """Return a page of the list for programs: the fields of `mpal list --json`, and the addresses of adjacent pages."""
    for name in names:
        if name not in BY_NAME:
            raise MoonPalaceError(f"there is no column {name!r}; {did_you_mean(name.lower(), BY_NAME)}".rstrip("; "))
    columns = chosen(names) if names else record_columns()
    listing = filtered(engine, query, before, after)
    lines = [json_line(call, columns) for call in complete(engine, listing.calls, needs_of(columns))]
    newer = address(query, after=Place.of(listing.calls[0])) if listing.calls and listing.has_newer else None
    older = address(query, before=Place.of(listing.calls[-1])) if listing.calls and listing.has_older else None
    return f'{{"calls": [{", ".join(lines)}], "newer": {json.dumps(newer)}, "older": {json.dumps(older)}}}'

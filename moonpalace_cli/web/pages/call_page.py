"""One call, at `/calls/ID`, its tabs at `/calls/ID/TAB`, and its raw bodies at `/calls/ID/SIDE/raw`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from moonpalace_cli.export.formats import FORMATS
from moonpalace_cli.views.showing.reported import reported
from moonpalace_cli.web.call import ShownCall, read_call
from moonpalace_cli.web.page import Page
from moonpalace_cli.web.tabs import TABS, Tab

LINKS = ("https://", "http://")
"""The prefixes of reports' addresses that are shown as links."""


class CallPage(Page):
    """Show a call, one tab at a time."""

    async def get(self, row_id: str, name: str | None = None) -> None:
        """Answer with a tab."""
        tab, number, query = TABS[name or ""], int(row_id), self.argument("q")
        if self.wants_json:
            self.give_json(await self.read(lambda: tab.document(read_call(self.console.engine, number, query))))
            return
        values = await self.read(lambda: read_tab(read_call(self.console.engine, number, query), tab))
        suffix = f"?{urlencode({'q': query})}" if query else ""
        self.give_page(
            f"call_{name or 'conversation'}.html", tabs=TABS, tab=name or "", suffix=suffix, formats=FORMATS, **values
        )


def read_tab(shown: ShownCall, tab: Tab) -> Mapping[str, object]:
    """Return the values for the template of a tab; anything that needs the store or time is computed here."""
    return {**read_head(shown), **tab.values(shown)}


def read_head(shown: ShownCall) -> Mapping[str, object]:
    """Return the values for the templates of all tabs."""
    reports = [reported(each) for each in shown.known.reports]
    known = {"call": shown.call, "why": shown.why, "turns": shown.turns, "picture": shown.picture}
    return {"shown": shown, "links": LINKS, "reports": reports, **known}


class RawPage(Page):
    """Return a body as stored."""

    async def get(self, row_id: str, side: str) -> None:
        """Answer with the text, or with a file if it is not text."""
        data = await self.read(lambda: stored(read_call(self.console.engine, int(row_id)), side))
        try:
            data.decode()
        except UnicodeDecodeError:
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("Content-Disposition", f'attachment; filename="call-{row_id}-{side}.bin"')
        else:
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(data)


def stored(shown: ShownCall, side: str) -> bytes:
    """Return the bytes of a body; for an answer as received, including the events of a stream."""
    bodies = shown.known.bodies
    if side == "request":
        return bodies.request or b""
    return bodies.event_stream or bodies.response or b""

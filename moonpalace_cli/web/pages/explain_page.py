"""Explanations of a call by a model, at `/calls/ID/explain`: those that are kept, and sending what the page shows."""

from __future__ import annotations

from collections.abc import Mapping

from moonpalace_addons.store.records import explanations
from moonpalace_cli.export.formats import FORMATS
from moonpalace_cli.web.call import read_call
from moonpalace_cli.web.explainer import Request, Topic
from moonpalace_cli.web.explaining_page import ExplainingPage, coming
from moonpalace_cli.web.page import Document
from moonpalace_cli.web.pages.call_page import read_head
from moonpalace_cli.web.pages.list_page import suffix
from moonpalace_cli.web.tabs import TABS


class ExplainPage(ExplainingPage):
    """Show what models have said about a call, and let the user ask one."""

    async def get(self, row_id: str) -> None:
        """Answer with the explanations, and with what would be sent or has come of an answer."""
        number, question, query = int(row_id), self.argument("question"), self.argument("q")
        request = self.explainer.under_way(number)  # once: it may end while the page is made
        if self.wants_json:
            self.give_json(await self.read(lambda: self.told(number, question, request)))
            return
        values = await self.read(lambda: self.shown(number, query, question, request))
        own = {"tab": "explain", "suffix": suffix(query), "here": f"/calls/{number}/explain", "query": query}
        self.give_page("call_explain.html", tabs=TABS, formats=FORMATS, **own, **values)

    async def post(self, row_id: str) -> None:
        """Send the text that was shown, by its name."""
        given = self.fields()
        address = f"/calls/{int(row_id)}/explain{suffix(given.get('q', ''))}"
        self.send(int(row_id), given.get("proposal", ""), address)

    def shown(self, number: int, query: str, question: str, request: Request | None) -> Mapping[str, object]:
        """Return what the template is given."""
        call = read_call(self.console.engine, number, query)
        return {**read_head(call), **self.values(topic_of(number), call.known.explanations, question, request)}

    def told(self, number: int, question: str, request: Request | None) -> Document:
        """Return the same for programs."""
        if request is not None:
            return coming(request)
        row_id = read_call(self.console.engine, number).call.id
        return self.document(topic_of(row_id), explanations.of_call(self.console.engine, row_id), question)


def topic_of(row_id: int) -> Topic:
    """Return the topic that is one call."""
    return Topic(row_id, [row_id], 1)

"""Explanations of a call by a model, at `/calls/ID/explain`."""

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
    """Show explanations of a call, and let the user ask a model."""

    async def get(self, row_id: str) -> None:
        """Answer with the explanations, and with the proposal or the answer so far."""
        number, question, query = int(row_id), self.argument("question"), self.argument("q")
        request = self.explainer.under_way(number)  # once: it may end while the page is rendered
        if self.wants_json:
            self.give_json(await self.read(lambda: self.document_values(number, question, request)))
            return
        values = await self.read(lambda: self.template_values(number, query, question, request))
        own = {"tab": "explain", "suffix": suffix(query), "here": f"/calls/{number}/explain", "query": query}
        self.give_page("call_explain.html", tabs=TABS, formats=FORMATS, **own, **values)

    async def post(self, row_id: str) -> None:
        """Send the proposal with this name."""
        form = self.fields()
        address = f"/calls/{int(row_id)}/explain{suffix(form.get('q', ''))}"
        self.send(int(row_id), form.get("proposal", ""), address)

    def template_values(self, number: int, query: str, question: str, request: Request | None) -> Mapping[str, object]:
        """Return the values for the template."""
        call = read_call(self.console.engine, number, query)
        return {**read_head(call), **self.values(topic_of(number), call.known.explanations, question, request)}

    def document_values(self, number: int, question: str, request: Request | None) -> Document:
        """Return the same for programs."""
        if request is not None:
            return coming(request)
        row_id = read_call(self.console.engine, number).call.id
        return self.document(topic_of(row_id), explanations.of_call(self.console.engine, row_id), question)


def topic_of(row_id: int) -> Topic:
    """Return the topic of a single call."""
    return Topic(row_id, [row_id], 1)

"""Explanations of the calls that match a filter, at `/explain?q=PREDICATE`, like those of `mpal explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import explanations
from moonpalace_addons.store.records.explanations import Explanation
from moonpalace_cli.explaining.record import MAX_CALLS
from moonpalace_cli.web.explainer import Request, Topic
from moonpalace_cli.web.explaining_page import ExplainingPage, coming
from moonpalace_cli.web.page import Document
from moonpalace_cli.web.pages.list_page import suffix


class ExplainGroupPage(ExplainingPage):
    """Show explanations of several of these calls together, and let the user ask a model."""

    async def get(self) -> None:
        """Answer with the explanations, and with the proposal or the answer so far."""
        query, question = self.query(self.argument("q")), self.argument("question")
        request = self.explainer.under_way(query)  # once: it may end while the page is rendered
        if self.wants_json:
            self.give_json(await self.read(lambda: self.document_values(query, question, request)))
            return
        values = await self.read(lambda: self.template_values(query, question, request))
        own = {"suffix": suffix(query), "here": "/explain", "query": query, "most": MAX_CALLS}
        self.give_page("explain_group.html", section="explain", **own, **values)

    async def post(self) -> None:
        """Send the proposal with this name."""
        form = self.fields()
        query = self.query(form.get("q", ""))
        self.send(query, form.get("proposal", ""), f"/explain{suffix(query)}")

    def query(self, text: str) -> str:
        """Return a filter; raise MoonPalaceError if there is none."""
        if not text.strip():
            raise MoonPalaceError("give a filter, as in /explain?q=status_code+>=+400")
        return text.strip()

    def template_values(self, query: str, question: str, request: Request | None) -> Mapping[str, object]:
        """Return the values for the template."""
        topic = self.topic(query)
        return {"topic": topic, **self.values(topic, self.stored(topic), question, request)}

    def document_values(self, query: str, question: str, request: Request | None) -> Document:
        """Return the same for programs."""
        if request is not None:
            return coming(request)
        topic = self.topic(query)
        return {"calls": topic.total, **self.document(topic, self.stored(topic), question)}

    def stored(self, topic: Topic) -> Sequence[Explanation]:
        """Return the explanations of several of these calls together; for a single call, all of its explanations."""
        if topic.total == 1:
            return explanations.of_call(self.console.engine, topic.ids[0])
        return explanations.of_some(self.console.engine, topic.ids)

    def topic(self, query: str) -> Topic:
        """Return the calls that match a filter; raise MoonPalaceError if there are none."""
        engine = self.console.engine
        ids = selection.chosen_ids(engine, condition([query], engine), of_programs=True)
        if not ids:
            raise MoonPalaceError("no call matches the filter")
        return Topic(query, ids[-MAX_CALLS:], len(ids))

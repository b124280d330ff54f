"""Explanations of a call by a model, at `/calls/ID/explain`: those that are kept, and sending what the page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.records import explanations
from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.explaining.language import language_of
from moonpalace_cli.explaining.quoting import tokens_in
from moonpalace_cli.export.formats import FORMATS
from moonpalace_cli.web.call import ShownCall, read_call
from moonpalace_cli.web.explainer import Explainer, NoLongerShownError
from moonpalace_cli.web.markdown import Budget, rendered
from moonpalace_cli.web.page import Document, Page, RefusedError
from moonpalace_cli.web.pages.call_page import read_head
from moonpalace_cli.web.tabs import TABS
from moonpalace_cli.web.texts import languages

if TYPE_CHECKING:
    from markupsafe import Markup

    from moonpalace_addons.store.records.explanations import Explanation
    from moonpalace_cli.web.explainer import Proposal, Request

MAX_READ = 200_000
"""Characters of explanations of a page that are read as Markdown."""


class ExplainPage(Page):
    """Show what models have said about a call, and have one asked."""

    async def get(self, row_id: str) -> None:
        """Answer with the explanations, and with what would be sent or has come of an answer."""
        number, question = int(row_id), self.argument("question")
        request = self.explainer.under_way(number)  # once: it may end while the page is made
        if self.wants_json:
            self.give_json(await self.read(lambda: self.document(number, question, request)))
            return
        query = self.argument("q")
        values = await self.read(lambda: self.values(read_call(self.console.engine, number, query), question, request))
        suffix = f"?{urlencode({'q': query})}" if query else ""
        self.give_page("call_explain.html", tabs=TABS, tab="explain", suffix=suffix, formats=FORMATS, **values)

    async def post(self, row_id: str) -> None:
        """Send the text that was shown, by its name."""
        given = self.fields()
        try:
            self.explainer.start(int(row_id), given.get("proposal", ""))
        except NoLongerShownError as error:
            raise RefusedError(409, str(error)) from error
        if self.wants_json:
            self.set_status(202)
            self.give_json({"state": "asking"})
            return
        query = given.get("q", "")
        self.redirect(f"/calls/{int(row_id)}/explain" + (f"?{urlencode({'q': query})}" if query else ""), status=303)

    @property
    def explainer(self) -> Explainer:
        """What asks models."""
        if self.console.explainer is None:
            raise RefusedError(404, f"there is no page {self.request.path[:200]}")
        return self.console.explainer

    def values(self, shown: ShownCall, question: str, request: Request | None) -> Mapping[str, object]:
        """Return what the template is given."""
        budget = Budget(MAX_READ)
        kept = [(each, when(each), read(each.text, budget)) for each in reversed(shown.known.explanations)]
        told = {"kept": kept, "request": request, "question": question, "error": self.explainer.error(shown.call.id)}
        proposal, reason = self.proposed(shown.call.id, question) if request is None else (None, "")
        tokens = f"{tokens_in(str(proposal.prompt)):,}" if proposal is not None else ""
        return {**read_head(shown), **told, "proposal": proposal, "reason": reason, "tokens": tokens}

    def document(self, number: int, question: str, request: Request | None) -> Document:
        """Return the same for programs; while a model answers only that, as a page asks for it again and again."""
        if request is not None:
            return {"state": "asking", "text": request.text, "thought": request.thought}
        row_id, error = read_call(self.console.engine, number).call.id, self.explainer.error(number)
        said = [
            asdict(each) | {"created_at": each.created_at.isoformat()}
            for each in explanations.of_call(self.console.engine, row_id)
        ]
        proposal, reason = self.proposed(row_id, question)
        offer: dict[str, object] = {"refused": reason}
        if proposal is not None:
            text = str(proposal.prompt)
            offer = {"proposal": {"name": proposal.name, "to": str(proposal.target), "text": text}}
        state = {"state": "failed", "error": error} if error else {"state": "idle"}
        return {**state, "explanations": said, **offer}

    def proposed(self, number: int, question: str) -> tuple[Proposal | None, str]:
        """Return what would be sent, or why nothing can be."""
        locale = next(languages(self.request.headers.get("Accept-Language", "")), "")
        try:
            return self.explainer.propose(number, question, language_of({"LANG": locale})), ""
        except MoonPalaceError as error:
            return None, str(error)


def when(explanation: Explanation) -> str:
    """Return the time of an explanation."""
    return local_time(explanation.created_at)


def read(text: str, budget: Budget) -> Markup | None:
    """Return what a model wrote as HTML, None for a text that is too long to be read as Markdown."""
    return rendered(text) if budget.takes(text) else None

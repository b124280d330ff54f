"""The base of the pages that show explanations by models, and let the user ask one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.explaining.language import language_of
from moonpalace_cli.explaining.quoting import tokens_in
from moonpalace_cli.web.explainer import Explainer, NoLongerShownError, Proposal, Topic
from moonpalace_cli.web.markdown import Budget, rendered
from moonpalace_cli.web.page import Document, Page, RefusedError
from moonpalace_cli.web.texts import languages

if TYPE_CHECKING:
    from markupsafe import Markup

    from moonpalace_addons.store.records.explanations import Explanation
    from moonpalace_cli.web.explainer import Request

MAX_READ = 200_000
"""Maximum characters of explanations on a page that are rendered as Markdown."""


class ExplainingPage(Page):
    """A page with the explanations of one topic."""

    @property
    def explainer(self) -> Explainer:
        """The explainer of the console."""
        if self.console.explainer is None:
            raise RefusedError(404, f"there is no page {self.request.path[:200]}")
        return self.console.explainer

    def send(self, topic: int | str, name: str, address: str) -> None:
        """Send the proposal with this name, and redirect to the page on which the answer appears."""
        try:
            self.explainer.start(topic, name)
        except NoLongerShownError as error:
            raise RefusedError(409, str(error)) from error
        if self.wants_json:
            self.set_status(202)
            self.give_json({"state": "asking"})
        else:
            self.redirect(address, status=303)

    def values(
        self, topic: Topic, stored: Sequence[Explanation], question: str, request: Request | None
    ) -> Mapping[str, object]:
        """Return the values for the template: the explanations, and the proposal or the answer so far."""
        budget = Budget(MAX_READ)
        explained = [(each, local_time(each.created_at), read(each.text, budget)) for each in reversed(stored)]
        proposal, reason = self.proposed(topic, question) if request is None else (None, "")
        tokens = f"{tokens_in(str(proposal.prompt)):,}" if proposal is not None else ""
        common = {
            "kept": explained,
            "request": request,
            "question": question,
            "error": self.explainer.error(topic.name),
        }
        return {**common, "proposal": proposal, "reason": reason, "tokens": tokens}

    def document(self, topic: Topic, stored: Sequence[Explanation], question: str) -> Mapping[str, object]:
        """Return the data for programs, unless an answer is running."""
        documents = [asdict(each) | {"created_at": each.created_at.isoformat()} for each in stored]
        proposal, reason = self.proposed(topic, question)
        offer: dict[str, object] = {"refused": reason}
        if proposal is not None:
            text = str(proposal.prompt)
            offer = {"proposal": {"name": proposal.name, "to": str(proposal.target), "text": text}}
        error = self.explainer.error(topic.name)
        state = {"state": "failed", "error": error} if error else {"state": "idle"}
        return {**state, "explanations": documents, **offer}

    def proposed(self, topic: Topic, question: str) -> tuple[Proposal | None, str]:
        """Return the proposal, or why nothing can be sent."""
        locale = next(languages(self.request.headers.get("Accept-Language", "")), "")
        try:
            return self.explainer.propose(topic, question, language_of({"LANG": locale})), ""
        except MoonPalaceError as error:
            return None, str(error)


def coming(request: Request) -> Document:
    """Return the answer so far, for programs and for the page, which polls it."""
    return {"state": "asking", "text": request.text, "thought": request.thought}


def read(text: str, budget: Budget) -> Markup | None:
    """Return a model's text as HTML; None if it is too long to be rendered as Markdown."""
    return rendered(text) if budget.takes(text) else None

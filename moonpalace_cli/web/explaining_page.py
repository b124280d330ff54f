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
"""Characters of explanations of a page that are read as Markdown."""


class ExplainingPage(Page):
    """A page with the explanations of one topic."""

    @property
    def explainer(self) -> Explainer:
        """What asks models."""
        if self.console.explainer is None:
            raise RefusedError(404, f"there is no page {self.request.path[:200]}")
        return self.console.explainer

    def send(self, topic: int | str, name: str, address: str) -> None:
        """Send the text that was shown, by its name, and lead to the page where the answer comes."""
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
        self, topic: Topic, kept: Sequence[Explanation], question: str, request: Request | None
    ) -> Mapping[str, object]:
        """Return what the template is given: the explanations, and what would be sent or has come of an answer."""
        budget = Budget(MAX_READ)
        shown = [(each, local_time(each.created_at), read(each.text, budget)) for each in reversed(kept)]
        proposal, reason = self.proposed(topic, question) if request is None else (None, "")
        tokens = f"{tokens_in(str(proposal.prompt)):,}" if proposal is not None else ""
        told = {"kept": shown, "request": request, "question": question, "error": self.explainer.error(topic.name)}
        return {**told, "proposal": proposal, "reason": reason, "tokens": tokens}

    def document(self, topic: Topic, kept: Sequence[Explanation], question: str) -> Mapping[str, object]:
        """Return the same for programs, when no answer is coming."""
        said = [asdict(each) | {"created_at": each.created_at.isoformat()} for each in kept]
        proposal, reason = self.proposed(topic, question)
        offer: dict[str, object] = {"refused": reason}
        if proposal is not None:
            text = str(proposal.prompt)
            offer = {"proposal": {"name": proposal.name, "to": str(proposal.target), "text": text}}
        error = self.explainer.error(topic.name)
        state = {"state": "failed", "error": error} if error else {"state": "idle"}
        return {**state, "explanations": said, **offer}

    def proposed(self, topic: Topic, question: str) -> tuple[Proposal | None, str]:
        """Return what would be sent, or why nothing can be."""
        locale = next(languages(self.request.headers.get("Accept-Language", "")), "")
        try:
            return self.explainer.propose(topic, question, language_of({"LANG": locale})), ""
        except MoonPalaceError as error:
            return None, str(error)


def coming(request: Request) -> Document:
    """Return what has come of an answer, for programs and for the page, which asks again and again."""
    return {"state": "asking", "text": request.text, "thought": request.thought}


def read(text: str, budget: Budget) -> Markup | None:
    """Return what a model wrote as HTML, None for a text that is too long to be read as Markdown."""
    return rendered(text) if budget.takes(text) else None

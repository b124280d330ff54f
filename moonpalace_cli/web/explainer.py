"""Explanations by a model: proposals that pages have shown, and requests that users have sent."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.database.outage import words
from moonpalace_cli.explaining.asking import Asking
from moonpalace_cli.explaining.keeping import keep
from moonpalace_cli.explaining.prompt import make_prompt
from moonpalace_cli.explaining.record import Subject, cleaned, make_record
from moonpalace_cli.explaining.target import KEY_VARIABLE, find_target

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_cli.explaining.prompt import Prompt
    from moonpalace_cli.explaining.target import Target

MAX_SHOWN = 50
"""The latest proposals, which can still be sent."""
MAX_UNDER_WAY = 4
logger = logging.getLogger("moonpalace.web")


@dataclass(frozen=True, slots=True)
class Topic:
    """The calls to explain: a call, whose name is its id, or the newest of the `total` that match the filter `name`."""

    name: int | str
    ids: Sequence[int]
    total: int

    def __str__(self) -> str:
        return f"call {self.name}" if isinstance(self.name, int) else f"calls with {self.name}"


class NoLongerShownError(MoonPalaceError):
    """A proposal that was already sent, or was shown too long ago."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed request as shown on a page; `name` can be used once."""

    name: str
    topic: Topic
    target: Target
    prompt: Prompt
    subject: Subject


@dataclass(slots=True)
class Request:
    """A request that was sent: the answer so far, and why it failed; other threads read it as it grows."""

    proposal: Proposal
    pieces: list[str] = field(default_factory=list)
    thought: int = 0
    """The number of characters of reasoning so far."""
    error: str = ""
    is_over: bool = False

    @property
    def text(self) -> str:
        """The explanation so far."""
        return "".join(self.pieces)


class Explainer:
    """Have a model explain calls of a store; the environment may contain its key."""

    def __init__(self, engine: Engine, settings: Settings, environ: Mapping[str, str]) -> None:
        self._engine = engine
        self._settings = settings
        self._environ = environ
        self._shown: dict[str, Proposal] = {}
        self._requests: dict[int | str, Request] = {}
        """The last request for each topic by its name, until its explanation is stored."""

    def propose(self, topic: Topic, question: str, language: str) -> Proposal:
        """Return the unsent request to explain calls, or to answer a question; raise MoonPalaceError."""
        target = find_target(self._settings, self._environ, via=None, model=None, key=None)
        if target.lacks_key:
            raise MoonPalaceError(
                f"{target} needs a key: start the console with the variable {KEY_VARIABLE}, or name another endpoint "
                "under explain: in config.yaml"
            )
        subject = Subject(topic.ids, topic.total, cleaned(question), language)
        limit, pattern = self._settings.explain.tokens, self._settings.redact_pattern
        record = make_record(self._engine, subject, limit=limit, pattern=pattern)
        prompt = make_prompt(record, question=subject.question, language=language, calls=topic.total)
        proposal = Proposal(secrets.token_urlsafe(16), topic, target, prompt, subject)
        self._shown[proposal.name] = proposal
        for name in list(self._shown)[:-MAX_SHOWN]:
            self._shown.pop(name, None)
        return proposal

    def under_way(self, topic: int | str) -> Request | None:
        """Return the unfinished request for a topic, by the topic's name."""
        request = self._requests.get(topic)
        return None if request is None or request.is_over else request

    def error(self, topic: int | str) -> str:
        """Return why the last request for a topic failed; empty if it did not."""
        request = self._requests.get(topic)
        return "" if request is None else request.error

    def start(self, topic: int | str, name: str) -> Request:
        """Send a topic's proposal; raise NoLongerShownError, or MoonPalaceError if too many requests are running."""
        requests = dict(self._requests)  # each may end at any time
        going = [each for each, request in requests.items() if not request.is_over]
        if topic in going:  # the button was pressed twice
            return requests[topic]
        if len(going) >= MAX_UNDER_WAY:
            raise MoonPalaceError(f"{MAX_UNDER_WAY} explanations are under way: wait until one has finished")
        proposal = self._shown.pop(name, None)
        if proposal is None or proposal.topic.name != topic:
            raise NoLongerShownError("this text was sent already, or was shown too long ago: open the page again")
        self._requests[topic] = request = Request(proposal)
        for each in [each for each, other in requests.items() if other.is_over and each != topic][:-MAX_SHOWN]:
            self._requests.pop(each, None)
        threading.Thread(target=self._run, args=(request,), name="explain", daemon=True).start()
        return request

    def _run(self, request: Request) -> None:
        """Ask the model, and store its explanation."""
        try:
            self._ask(request)
        except MoonPalaceError as error:
            request.error = str(error)
        except SQLAlchemyError as error:
            request.error = f"the explanation could not be stored: {words(error)}"
        except Exception:
            logger.exception("%s could not be explained because of a fault in MoonPalace", request.proposal.topic)
            request.error = "something went wrong: see the terminal of mpal web"
        request.is_over = True
        if not request.error:
            self._requests.pop(request.proposal.topic.name, None)

    def _ask(self, request: Request) -> None:
        proposal, settings = request.proposal, self._settings
        body = proposal.prompt.body(proposal.target.model)
        asking = Asking(proposal.target, body, settings.idle_timeout, settings.upstream_ca)
        for channel, text in asking.run():
            if channel == "content":
                request.pieces.append(text)
            else:
                request.thought += len(text)
        keep(self._engine, asking, proposal.subject, settings.prices)

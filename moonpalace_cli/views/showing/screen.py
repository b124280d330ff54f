"""One call on one screen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import model
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.views.call_line import seconds
from moonpalace_addons.views.money import amount
from moonpalace_addons.wire.columns import ELLIPSIS, shortened, width_of
from moonpalace_addons.wire.faces.turns import Turn
from moonpalace_addons.wire.foreign import printable
from moonpalace_cli.calls.presentation import ago, local_time
from moonpalace_cli.output import ellipsis, signs, visible
from moonpalace_cli.text import colours
from moonpalace_cli.text.tables import fold
from moonpalace_cli.views.showing.facts import Facts
from moonpalace_cli.views.showing.phrases import ENGLISH, NOTHING, Phrase, phrase, translated, with_commas
from moonpalace_cli.views.showing.reason import Reason
from moonpalace_cli.views.showing.reported import reported

if TYPE_CHECKING:
    from moonpalace_addons.store.records.explanations import Explanation

WIDTH = 100
"""Columns if the output is not a terminal."""
LABEL = 10
ROLE = 10
MAX_TURNS = 6
"""Maximum messages of the conversation that are shown: the first, and the last ones."""
ANSWER_LINES = 6
MAX_FOLDED = 10_000
"""Maximum characters of an answer whose lines are counted."""
READ_FACTOR = 20
"""Characters of a text that are examined for each column of its line: some take none."""
MAX_EXPLANATIONS = 3
STALL_AT_END = "longest stall {time} (at {start}, before the end)"
MIN_STALL = 100_000_000
"""Nanoseconds from which a silence is mentioned."""


class Screen:
    """Lay out the sections of a call in a width."""

    def __init__(
        self, facts: Facts, why: Sequence[Reason], width: int | None, *, colour: bool, language: str = ENGLISH
    ) -> None:
        self.facts = facts
        self.why = reason_lines(why, max(40, width or WIDTH) - LABEL, language)
        self.reports = [reported(each).in_language(language) for each in facts.reports]
        self.width = max(40, width or WIDTH)
        self.colour = colour
        self.language = language

    def lines(self) -> Iterator[str]:
        """Yield the lines of the screen."""
        yield from self._head()
        yield ""
        yield from self._section("why", self.why)
        yield from self._section("explained", self._folded(self._localized(explained(self.facts))))
        yield from self._section("reported", self._folded(self.reports))
        yield from self._section("asked", list(self._question()))
        yield from self._section("answered", list(self._answered()))
        yield from self._section("tokens", self._folded([tokens(self.facts).in_language(self.language)]))
        spent = packed(with_commas(times(self.facts), self.language), self.width - LABEL, "")
        yield from self._section("time", self._folded(spent))
        yield from self._section("cache", self._folded([cache(self.facts).in_language(self.language)]))
        yield from self._section("warnings", self._folded(self._translated(self.facts.call.warnings)))
        yield from self._section("labels", self._folded([" · ".join(self._localized(labels(self.facts)))]))
        yield from self._section("ids", packed(self._folded(identifiers(self.facts)), self.width - LABEL, signs(" · ")))
        yield from self._section("next", packed(list(next_commands(self.facts)), self.width - LABEL))

    def _head(self) -> Iterator[str]:
        call = self.facts.call
        kind = "forced stream" if call.is_coerced else "stream" if call.is_stream else ""
        forced = phrase(kind).in_language(self.language)
        purpose = phrase("by mpal {name}", name=call.purpose).in_language(self.language) if call.purpose else ""
        name = printable(model(call) or "")
        when = [local_time(call.started_at), translated(ago(call.started_at), self.language)]
        facts = [f"#{call.id}", name, f"{call.method} {printable(call.path)}", purpose, forced, *when]
        title = " · ".join(filter(None, facts))
        if width_of(title) > self.width:  # the path is the least informative
            title = " · ".join(filter(None, [facts[0], name, purpose, forced, *when]))
        yield self._paint(self._cut(title, self.width), colours.BOLD)
        ending = outcome(call)
        took = NOTHING if call.latency is None else phrase(" after {duration}", duration=seconds(call.latency))
        text = translated(ending.text, self.language) + took.in_language(self.language)
        yield self._paint(self._cut(text, self.width), colours.OUTCOMES.get(ending.style, ""))

    def _section(self, name: str, lines: Sequence[str]) -> Iterator[str]:
        label = phrase(name).in_language(self.language)
        label_text = self._paint(label + " " * (LABEL - width_of(label)), colours.KEY)
        for place, line in enumerate(each for each in lines if each):
            yield (label_text if place == 0 else " " * LABEL) + line

    def _question(self) -> Iterator[str]:
        turns = self.facts.conversation.request_turns
        selected = turns if len(turns) <= MAX_TURNS else [turns[0], *turns[1 - MAX_TURNS :]]
        for place, turn in enumerate(selected):
            if place == 1 and len(selected) < len(turns):
                more = phrase("{count} more messages", count=len(turns) - len(selected))
                yield f"{ellipsis()} {more.in_language(self.language)}"
            role = printable(turn.role)[: ROLE - 1]
            yield self._cut(f"{role:<{ROLE}}{turn_text(turn, self.width)}", self.width - LABEL)

    def _answered(self) -> Iterator[str]:
        room = self.width - LABEL
        for part in self.facts.conversation.answer_parts:
            if part.kind == "reasoning":
                size = phrase("({count} characters)", count=f"{len(part.text):,}").in_language(self.language)
                yield self._cut(f"{self._role('thinking')}{size} {in_one_line(part.text, room)}", room)
            elif part.kind == "call":
                yield self._cut(f"{self._role('calls')}{part.label} {in_one_line(part.text, room)}", room)
            else:
                text = in_one_line(part.text, MAX_FOLDED)
                lines = fold(" ".join(visible(text[:MAX_FOLDED]).split()), room)
                yield from lines[:ANSWER_LINES]
                is_part = len(text) > MAX_FOLDED
                if is_part or len(lines) > ANSWER_LINES:
                    template = "at least {count} more lines" if is_part else "{count} more lines"
                    more = phrase(template, count=max(1, len(lines) - ANSWER_LINES))
                    yield f"{ellipsis()} {more.in_language(self.language)}"

    def _role(self, name: str) -> str:
        label = phrase(name).in_language(self.language)
        return label + " " * (ROLE - width_of(label))

    def _localized(self, phrases: Sequence[Phrase]) -> list[str]:
        return [each.in_language(self.language) for each in phrases]

    def _translated(self, texts: Sequence[str]) -> list[str]:
        return [translated(each, self.language) for each in texts]

    def _folded(self, texts: Sequence[str]) -> list[str]:
        return [line for text in texts for line in fold(printable(visible(text)), self.width - LABEL)]

    def _cut(self, text: str, width: int) -> str:
        read = text[: READ_FACTOR * width]
        more = ELLIPSIS if len(read) < len(text) else ""
        line = shortened(printable(visible(read)) + more, width)
        return signs(line)

    def _paint(self, text: str, colour: str) -> str:
        return colours.paint(text, colour) if self.colour else text


def reason_lines(why: Sequence[Reason], width: int, language: str = ENGLISH) -> list[str]:
    """Return the evidence of each reason, followed by the advice."""
    arrow = signs("→ ")
    lines = []
    for reason in why:
        lines += fold(printable(visible(reason.evidence.in_language(language))), width)
        first, *others = fold(printable(visible(reason.advice.in_language(language))), width - width_of(arrow))
        lines += [arrow + first, *("  " + line for line in others)]
    return lines


def turn_text(turn: Turn, words: int) -> str:
    """Return a message in one line: its texts, tool calls, and media."""
    pieces = [f"{part.label} {part.text}" if part.kind == "call" else part.text for part in turn.parts]
    return in_one_line(" ".join(pieces), words)


def in_one_line(text: str, words: int) -> str:
    """Return a text with single spaces between its words, at least the first `words` of them."""
    return " ".join(text.split(maxsplit=words))


def tokens(facts: Facts) -> Phrase:
    """Return the tokens of a call and its cost; empty if the answer has none."""
    call = facts.call
    if call.prompt_tokens is None and call.completion_tokens is None:
        return NOTHING
    spent = f"{amount(call.cost)} {call.cost_currency or ''}".rstrip() if call.cost is not None else ""
    return phrase(
        "{prompt} prompt{cached} + {completion} completion{reasoning}{limit}{cost}",
        prompt=counted(call.prompt_tokens),
        cached=some(" ({count} cached)", call.cached_tokens),
        completion=counted(call.completion_tokens),
        reasoning=some(" ({count} reasoning)", call.reasoning_tokens),
        limit=some(", limit {count}", facts.limit),
        cost=phrase("; cost {amount}", amount=spent) if spent else NOTHING,
    )


def some(template: str, count: int | None) -> Phrase:
    """Return a remark on a number of tokens; empty if it is zero or unknown."""
    return phrase(template, count=f"{count:,}") if count else NOTHING


def counted(number: int | None) -> str:
    """Format a number of tokens; a question mark if it is unknown."""
    return "?" if number is None else f"{number:,}"


def times(facts: Facts) -> list[Phrase]:
    """Return the times of a call, with the longest stall of a stream."""
    call = facts.call
    named = (
        ("headers {time}", call.time_to_headers),
        ("first token {time}", call.time_to_first_token),
        ("first visible token {time}", call.time_to_first_visible_token if call.reasoning_tokens else None),
        ("total {time}", call.latency),
    )
    parts = [phrase(template, time=seconds(duration)) for template, duration in named if duration is not None]
    if call.output_tokens_per_second and call.is_stream:
        parts.insert(-1, phrase("{rate} tokens/s", rate=f"{call.output_tokens_per_second:.1f}"))
    if (stall := facts.stall) is not None and stall[0] >= MIN_STALL:
        at_end = facts.silence is not None and stall[0] == facts.silence
        template = STALL_AT_END if at_end else "longest stall {time} (at {start})"
        parts.insert(-1, phrase(template, time=seconds(stall[0]), start=seconds(stall[1])))
    return parts


def cache(facts: Facts) -> Phrase:
    """Describe the effect of caches; empty for a call without tokens."""
    call = facts.call
    context = phrase("context cache {outcome}", outcome=call.cache_outcome) if call.cache_outcome else NOTHING
    if not call.prompt_tokens or call.cached_tokens is None:
        return context
    if call.cached_tokens > call.prompt_tokens:
        return context  # the warnings of the call say that its numbers are inconsistent
    share = phrase("{share} of the prompt was cached", share=f"{call.cached_tokens / call.prompt_tokens:.0%}")
    return phrase("{all}", all=(share, context)) if call.cache_outcome else share


def labels(facts: Facts) -> list[Phrase]:
    """Return the labels of a call."""
    tagged = phrase("tags {names}", names=", ".join(facts.tags)) if facts.tags else NOTHING
    parts = (phrase("{text}", text=facts.call.category or ""), tagged, phrase("{text}", text=facts.call.note or ""))
    return [each for each in parts if str(each)]


def explained(facts: Facts) -> list[Phrase]:
    """Return the newest explanation for each question, with the command that prints it, including those of groups."""
    newest = {(each.question, each.calls): each for each in facts.explanations}
    return [explained_line(facts.call.id, each) for each in list(newest.values())[-MAX_EXPLANATIONS:]]


def explained_line(row_id: int, explanation: Explanation) -> Phrase:
    """Return when which model explained the call, and the command that shows the explanation."""
    values = {"model": explanation.model, "when": local_time(explanation.created_at)}
    if explanation.calls > 1:
        more, command = explanation.calls - 1, f"mpal inspect {row_id} --json"
        return phrase("by {model}, {when}, with {count} more: {command}", **values, count=more, command=command)
    option = f" --question {shlex.quote(explanation.question)}" if explanation.question else ""
    return phrase("by {model}, {when}: {command}", **values, command=f"mpal explain {row_id}{option}")


def identifiers(facts: Facts) -> list[str]:
    """Return the identifiers of a call."""
    call = facts.call
    request = f"request {call.msh_request_id}" if call.msh_request_id else None
    session = f"session {call.session}" if call.session else None
    return [each for each in (call.chatcmpl_id, request, session) if each]


def packed(texts: Sequence[str], width: int, separator: str = "  ") -> list[str]:
    """Return the texts in as few lines as possible without breaking any of them."""
    lines = [""]
    for text in texts:
        joined = f"{lines[-1]}{separator}{text}" if lines[-1] else text
        if lines[-1] and width_of(joined.rstrip()) > width:
            lines.append(text)
        else:
            lines[-1] = joined
    return [line.rstrip() for line in lines]


def next_commands(facts: Facts) -> Iterator[str]:
    """Yield the commands that show more of the call, or act on it."""
    name = facts.call.id
    if facts.conversation.request_turns or facts.conversation.answer_turns:
        yield f"mpal inspect {name} --chat"
    if facts.chunks:
        yield f"mpal inspect {name} --timeline"
    if facts.call.prompt_tokens and facts.call.path.endswith("/chat/completions"):
        yield f"mpal cache why {name}"
    yield f"mpal export {name} --curl"
    yield f"mpal export {name} --report"

"""Show one call, or compare two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_cli.calls.content import answer
from moonpalace_cli.mcp_server.arguments import CALL, Parameter, cursor_of, tokens_of
from moonpalace_cli.mcp_server.pages import page
from moonpalace_cli.mcp_server.quoting import named, quoted
from moonpalace_cli.views.inspecting.parts import PARTS, part_texts
from moonpalace_cli.views.showing.reasons import reasons
from moonpalace_cli.views.showing.screen import Screen

if TYPE_CHECKING:
    from moonpalace_addons.wire.faces.turns import Part, Turn
    from moonpalace_cli.mcp_server.reading import Reader
    from moonpalace_cli.views.comparing.comparison import Comparison
    from moonpalace_cli.views.showing.facts import Facts

WIDTH = 120
EVENTS = "events"
EXCERPT = 200
"""Characters shown of each of two answers, from the first difference on."""
NOTHING = "Nothing that is stored shows a fault."

START = Parameter(
    "start",
    "Number of the first message to read; -3 begins with the last three.",
    "integer",
    bounds=(-100_000, 100_000),
)
PART = Parameter("part", "The part to read.", required=True, choices=(*PARTS, EVENTS))
OTHER = Parameter("other", "The other call.", "call", required=True)


def paged(lines: Sequence[str], arguments: Mapping[str, object], start: int = 0) -> str:
    """Return the requested page."""
    return page(lines, tokens_of(arguments), cursor_of(arguments), start)


def show(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Show a call on one screen."""
    return paged(screen(reader, arguments[CALL.name]), arguments)


def screen(reader: Reader, name: object) -> list[str]:
    """Return the lines of a call's screen."""
    facts = reader.facts(name)
    lines = Screen(facts, list(reasons(facts)), WIDTH, colour=False).lines()
    return [line for each in lines for line in quoted(each)]


def conversation(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Read the messages of a call and its answer."""
    lines, beginnings = messages(reader, arguments[CALL.name])
    start = cast(int, arguments.get(START.name, 1))
    number = start - 1 if start > 0 else max(0, len(beginnings) + start)
    return paged(lines, arguments, beginnings[min(number, len(beginnings) - 1)] if beginnings else 0)


def messages(reader: Reader, name: object) -> tuple[list[str], list[int]]:
    """Return the lines of a conversation, and the line at which each message begins."""
    chat = reader.facts(name).conversation
    turns = [*((turn, "asked") for turn in chat.request_turns), *((turn, "answered") for turn in chat.answer_turns)]
    lines, beginnings = list[str](), list[int]()
    for number, (turn, side) in enumerate(turns, 1):
        beginnings.append(len(lines))
        note = f" {named(turn.note)}" if turn.note else ""
        lines.append(f"Message {number} of {len(turns)}, {side}, role {named(turn.role)}{note}:")
        lines += turn_lines(turn)
    return lines or ["There are no messages that can be read."], beginnings


def turn_lines(turn: Turn) -> Iterator[str]:
    """Yield the parts of a message."""
    for part in turn.parts:
        yield from part_title(part)
        yield from quoted(part.text)


def part_title(part: Part) -> Iterator[str]:
    """Yield the line above a part that is not plain text."""
    if part.kind == "call":
        yield f"Call of the tool {named(part.label)} with:"
    elif part.kind != "text" or part.label:
        yield f"{part.kind.capitalize()}{f' {named(part.label)}' if part.label else ''}:"


def part(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Read one part of a call."""
    call, part_name = reader.call(arguments[CALL.name]), cast(str, arguments[PART.name])
    name = "response_body" if part_name == EVENTS else part_name
    if part_name == EVENTS and answer(call.exchange, call.bodies).events is None:
        return paged(["The answer of this call is not a stream."], arguments)
    texts = part_texts(
        call.exchange, call.bodies, [name], merged=part_name != EVENTS, labels={"tags": ", ".join(call.tags)}
    )
    lines = [line for title, text in texts.items() for line in (f"{title}:", *quoted(text))]
    return paged(lines, arguments)


def why(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Say why a call ended as it did."""
    facts = reader.facts(arguments[CALL.name])
    lines = [f"Call {facts.call.id} ended with {named(outcome(facts.call).text)}."]
    causes = list(reasons(facts))
    for reason in causes:
        lines += ["Evidence:", *quoted(str(reason.evidence)), "MoonPalace's advice:", *quoted(str(reason.advice))]
    return paged(lines if causes else [*lines, NOTHING], arguments)


def compare(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Compare two calls."""
    from moonpalace_cli.views.comparing import comparison

    compared = comparison.compare(*(reader.facts(arguments[name]) for name in (CALL.name, OTHER.name)))
    return paged([*fields(compared), *prompts(compared), *answers(compared)], arguments)


def fields(compared: Comparison) -> Iterator[str]:
    """Yield the fields in which two calls differ."""
    earlier, later = compared.calls
    yield f"Fields of call {earlier.id} → call {later.id}:"
    for each in compared.fields:
        yield from quoted(f"{each.name}: {each.before or '-'} → {each.after or '-'}")


def prompts(compared: Comparison) -> Iterator[str]:
    """Describe where the prompts of two calls diverge."""
    from moonpalace_cli.views.context_caches.prefix_report import lines

    yield "Prompts:"
    if compared.prompts is None:
        yield "They cannot be compared: at least one is of an unknown kind."
        return
    for line in lines(compared.prompts):
        yield from quoted(str(line))


def answers(compared: Comparison) -> Iterator[str]:
    """Describe where the answers of two calls diverge."""
    from moonpalace_cli.views.comparing.texts import common_start

    before, after = (answer_text(facts) for facts in (compared.earlier, compared.later))
    yield "Answers:"
    if before == after:
        yield f"Both have the same text, {len(before):,} characters."
        return
    place = common_start(before, after)
    yield f"They are the same up to character {place:,}, then:"
    for call, text in zip(compared.calls, (before, after), strict=True):
        yield f"call {call.id}, {len(text):,} characters in all:"
        yield from quoted(text[place : place + EXCERPT])


def answer_text(facts: Facts) -> str:
    """Return the texts of an answer, joined."""
    return "\n".join(part.text for part in facts.conversation.answer_parts)

"""The digest of a call for a model to explain, within a number of tokens.

Each line is ours; captured text is quoted as JSON strings, so that no text of a call can pass for a line of the digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from moonpalace_addons.store.fields import url
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.views.call_line import seconds
from moonpalace_addons.wire.escaping import escaped
from moonpalace_addons.wire.faces.turns import Part, Turn
from moonpalace_addons.wire.status import status_line
from moonpalace_cli.calls.content import answer, read, readable
from moonpalace_cli.explaining.quoting import excerpt, name_of, tokens_in
from moonpalace_cli.views.showing.facts import Facts
from moonpalace_cli.views.showing.phrases import listed
from moonpalace_cli.views.showing.reason import Reason
from moonpalace_cli.views.showing.screen import cache, times, tokens

CONVERSATION = ("messages", "input", "prompt", "system", "instructions", "tools")
"""Members of requests that are shown as messages."""
NAMED_MESSAGE = re.compile(r"(?:messages?|input)\W{1,3}(\d{1,6})", re.IGNORECASE)
"""How error messages of APIs refer to a message."""
NAMED_TOOL = re.compile(r"(?:tools?|functions?)\W{1,3}(\d{1,4})", re.IGNORECASE)
MIN_ROOM = 120
"""Tokens reserved for the messages and the answer."""
MIN_LINE = 24
"""Minimum tokens of a message; with less room it is left out."""
MAX_PARTS = 8


def call_digest(facts: Facts, causes: Sequence[Reason], limit: int) -> str:
    """Return the digest of a call in about `limit` tokens at most."""
    lines = [*head(facts, limit // 5), *findings(causes, limit // 6)]
    parameters = parameter_line(facts, limit // 8)
    room = max(MIN_ROOM, limit - tokens_in("\n".join([*lines, parameters])))
    answer = answer_lines(facts, room // 3)
    messages = message_lines(facts, room - tokens_in("\n".join(answer)))
    return "\n".join(filter(None, [*lines, parameters, *messages, *answer]))


def head(facts: Facts, limit: int) -> Iterator[str]:
    """Yield the data of the call's row."""
    call = facts.call
    yield f"call {call.id}: {name_of(call.method)} {excerpt(url(call), 60)}, {call.started_at:%Y-%m-%d %H:%M:%S} UTC"
    took = "" if call.latency is None else f" after {seconds(call.latency)}"
    yield f"ended: {excerpt(outcome(call).text, 60)}{took} (state {call.state.value})"
    status = status_line(call.status_code) if call.status_code is not None else "none: no answer came"
    yield f"status: {status}"
    if call.error_kind or call.error_message:
        yield f"error: {excerpt(call.error_kind or '', 30)} {excerpt(call.error_message or '', min(limit, 300))}"
    requested, answered = excerpt(call.model_requested or "", 30), excerpt(call.model_answered or "", 30)
    yield f"model: asked for {requested}, answered {answered}"
    yield f"stream: {stream_text(facts)}; finish reason: {name_of(call.finish_reason or 'none')}"
    for name, text in (("tokens", str(tokens(facts))), ("times", listed(times(facts))), ("cache", str(cache(facts)))):
        if text:
            yield f"{name}: {text}"
    kinds = name_of(call.request_content_type or "none"), name_of(call.response_content_type or "none")
    is_unknown = call.response_bytes is None and facts.has_answer  # of an encoded answer beyond max-body
    size = "an unknown number of" if is_unknown else f"{call.response_bytes or 0:,}"
    yield f"bodies: request {call.request_bytes:,} bytes of {kinds[0]}, answer {size} bytes of {kinds[1]}"
    yield from (f"warning: {excerpt(warning, 80)}" for warning in call.warnings[:5])


def stream_text(facts: Facts) -> str:
    """Return whether the answer was streamed, and what the proxy changed in the request."""
    call = facts.call
    kind = "yes, forced by the proxy" if call.is_coerced else "yes" if call.is_stream else "no"
    pieces = f", {len(facts.chunks)} pieces" if facts.chunks else ""
    changes = f"; the proxy changed the request: {excerpt(', '.join(call.changes), 60)}" if call.changes else ""
    return kind + pieces + changes


def findings(causes: Sequence[Reason], limit: int) -> Iterator[str]:
    """Yield the causes that the rules of `mpal why` found, most important first."""
    yield "found by fixed rules:" + ("" if causes else " nothing")
    for reason in causes[:6]:
        share = limit // min(len(causes), 6)
        evidence, advice = excerpt(str(reason.evidence), share * 2 // 3), excerpt(str(reason.advice), share // 3)
        yield f"- evidence {evidence}, advice {advice}"


def parameter_line(facts: Facts, limit: int) -> str:
    """Return the request without its messages, and with only those tools that the error names."""
    members = {name: value for name, value in facts.request.items() if name not in CONVERSATION}
    if not facts.request:
        return ""
    text = escaped(json.dumps(members, ensure_ascii=False, default=str))
    lines = [f"parameters: {text if tokens_in(text) <= limit // 2 else excerpt(text, limit // 2)}"]
    lines += [f"tool {number}: {excerpt(text, limit // 4)}" for number, text in named_tools(facts)][:2]
    return "\n".join(lines)


def named_tools(facts: Facts) -> Iterator[tuple[int, str]]:
    """Yield the index and the definition of each tool that the error names by its number or its name."""
    error, tools = facts.call.error_message or "", facts.request.get("tools")
    numbers = {int(number) for number in NAMED_TOOL.findall(error)}
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        function = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = function.get("name") if isinstance(function, dict) else None
        if number in numbers or (isinstance(name, str) and len(name) > 2 and name in error):
            yield number, json.dumps(tool, ensure_ascii=False)


def message_lines(facts: Facts, limit: int) -> list[str]:
    """Return the messages around the problem: the last ones, the first, and those that the error or a rule names."""
    turns = facts.conversation.request_turns
    if not turns:
        return other_request(facts, limit)
    selected = dict(chosen(turns, named_messages(facts), limit - 2 * MIN_LINE))
    lines, before = [f"messages of the request: {len(turns)}"], -1
    for place in sorted(selected):
        lines += [*left_out(place - before - 1), selected[place]]
        before = place
    return lines + left_out(len(turns) - before - 1)


def left_out(count: int) -> list[str]:
    """Return the line for messages that are not shown."""
    return [f"({count} messages left out)"] if count > 0 else []


def chosen(turns: Sequence[Turn], named: Sequence[int], limit: int) -> Iterator[tuple[int, str]]:
    """Yield the index and the line of each message for which there is room, most important first."""
    last = len(turns) - 1
    order = dict.fromkeys([last, *(place for place in named if place <= last), 0, *range(last, -1, -1)])
    remaining = limit
    for place in order:
        most = min(remaining, limit // 2 if place == last else limit // 4)
        if most < MIN_LINE:
            return
        line = turn_line(place, turns[place], most)
        remaining -= tokens_in(line)
        yield place, line


def named_messages(facts: Facts) -> list[int]:
    """Return the indexes of messages that the error names, counting from 0 or 1, and where the cache was lost."""
    numbers = [int(number) for number in NAMED_MESSAGE.findall(facts.call.error_message or "")]
    offset = sum(turn.role == "tools" for turn in facts.conversation.request_turns[:1])
    earlier = facts.earlier() if facts.call.prompt_tokens and not facts.call.cached_tokens else None
    numbers += [earlier.parts_at - 1] if earlier is not None and earlier.parts_at else []
    return [number + offset + shift for number in numbers for shift in (0, -1, 1) if number + offset + shift >= 0]


def turn_line(place: int, turn: Turn, limit: int) -> str:
    """Return a message in one line."""
    note = f" ({excerpt(turn.note, 16)})" if turn.note else ""
    label = f"[{place + 1} {name_of(turn.role)}{note}]"
    parts = turn.parts if len(turn.parts) <= MAX_PARTS else (*turn.parts[:2], *turn.parts[2 - MAX_PARTS :])
    more = f" ({len(turn.parts) - len(parts)} parts left out)" if len(parts) < len(turn.parts) else ""
    share = (limit - tokens_in(label + more)) // max(1, len(parts))
    return " ".join([label + more, *(part_text(part, share) for part in parts)]) if parts else f"{label} empty"


def part_text(part: Part, limit: int) -> str:
    """Return a part of a message, with its kind unless it is text."""
    kind = "" if part.kind == "text" else f"{part.kind} "
    label = f"{excerpt(part.label, 20)} " if part.label else ""
    return f"{kind}{label}{excerpt(part.text, limit - tokens_in(kind + label))}"


def other_request(facts: Facts, limit: int) -> list[str]:
    """Return the line for a request without messages."""
    text = "" if facts.request else readable(read(facts.bodies.request))
    return [f"body of the request: {excerpt(text, limit // 2)}"] if text else []


def answer_lines(facts: Facts, limit: int) -> list[str]:
    """Return the answer; of a long one the beginning and more of the end."""
    if not facts.conversation.answer_turns:
        text = readable(answer(facts.call, facts.bodies).shown(merged=True))
        return [f"answer: {excerpt(text, limit)}" if text else "answer: nothing came"]
    choices = facts.conversation.answer_turns[:3]
    lines = [turn_line(place, turn, limit // len(choices)) for place, turn in enumerate(choices)]
    more = len(facts.conversation.answer_turns) - len(choices)
    return ["answer:", *lines, *([f"({more} more choices)"] if more else [])]

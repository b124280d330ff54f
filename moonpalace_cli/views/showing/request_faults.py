"""Rules that find the mistake in a request that the API refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from moonpalace_addons.wire.json_value import mapping, text_in
from moonpalace_addons.wire.status import status_line
from moonpalace_cli.views.showing.facts import Facts
from moonpalace_cli.views.showing.phrases import NOTHING, Phrase, phrase
from moonpalace_cli.views.showing.reason import Reason

BAD_REQUEST, TOO_LARGE = 400, 413
MAX_NAMED = 3


def broken_body(facts: Facts) -> Reason | None:
    """Find a refused request whose body was declared as JSON but is not."""
    call = facts.call
    if call.status_code != BAD_REQUEST or "json" not in (call.request_content_type or "") or facts.is_json:
        return None
    count = call.request_bytes
    description = (
        phrase("{count} bytes, which are not JSON", count=f"{count:,}") if count else phrase("empty, which is not JSON")
    )
    evidence = call.error_message or status_line(call.status_code)
    return Reason(
        phrase("the request's body is {what}: {said}", what=description, said=evidence),
        phrase("let a JSON library write it; a body that ends early was cut by the client"),
    )


def too_large(facts: Facts) -> Reason | None:
    """Find a request whose size was refused."""
    call = facts.call
    if call.status_code != TOO_LARGE:
        return None
    return Reason(
        phrase(
            "{status}: {count} bytes are too large for the API or a gateway before it",
            status=status_line(TOO_LARGE),
            count=f"{call.request_bytes:,}",
        ),
        phrase("send smaller images or files, or upload them first and refer to them"),
    )


def unmatched_tools(facts: Facts) -> Reason | None:
    """Find tool calls without a result, and results without a call, in a request that the API refused."""
    if facts.call.status_code != BAD_REQUEST:
        return None
    messages = facts.request.get("messages")
    named = list(
        mismatches([mapping(message) for message in messages if message] if isinstance(messages, list) else [])
    )
    if not named:
        return None
    rest = len(named) - MAX_NAMED
    return Reason(
        phrase(
            "calls of tools and their results do not match: {mismatches}{more}",
            mismatches=tuple(named[:MAX_NAMED]),
            more=phrase(", and {count} more", count=rest) if rest > 0 else NOTHING,
        ),
        phrase("keep the assistant's message with its tool_calls, and let one tool message follow for each of them"),
    )


def mismatches(messages: list[Mapping[str, object]]) -> Iterator[Phrase]:
    """Yield each tool call without a result before the next message, and each result without a preceding call."""
    waiting: dict[str, int] = {}
    for number, message in enumerate(messages, 1):
        if message.get("role") != "tool":
            yield from unanswered(waiting)
            calls = message.get("tool_calls")
            called = (text_in(mapping(call), "id") for call in (calls if isinstance(calls, list) else ()))
            waiting = {call: number for call in called if call}
        elif waiting.pop(text_in(message, "tool_call_id") or "", None) is None:
            call = message.get("tool_call_id") or phrase("no call")
            yield phrase("message {number} is the result of {call}, which is not called", number=number, call=call)
    yield from unanswered(waiting)


def unanswered(waiting: Mapping[str, int]) -> Iterator[Phrase]:
    """Yield the calls without a result."""
    for call, number in waiting.items():
        yield phrase("the call {call} in message {number} has no result", call=call, number=number)

"""Find what a finished chat completion has that the API does not allow: what, where, and what clients make of it."""

from collections.abc import Iterator, Mapping

from moonpalace_addons.wire import usage as usages
from moonpalace_addons.wire.chat.completion import choices
from moonpalace_addons.wire.json_value import mapping, parse, whole_numbers

NO_DONE = "the stream ended without [DONE]: most clients accept that, others report an answer that broke off"

_FINISHED = ("stop", "tool_calls", "function_call")
"""Finish reasons of a message that the model completed."""


def deviations(answer: Mapping[str, object], *, tool_choice: object = None) -> Iterator[str]:
    """Yield a sentence for each deviation of a parsed or merged completion; `tool_choice` is that of the request."""
    for position, choice in enumerate(choices(answer)):
        yield from _of_choice(f"choices[{position}]", choice, is_forced=isinstance(tool_choice, dict))
    yield from wrong_usage(usages.find(answer))


def _of_choice(place: str, choice: Mapping[str, object], *, is_forced: bool) -> Iterator[str]:
    message, reason = mapping(choice.get("message")), choice.get("finish_reason")
    listed = message.get("tool_calls")
    calls = [call for call in (listed if isinstance(listed, list) else ()) if isinstance(call, dict)]
    is_whole = reason in _FINISHED  # a message that was cut off has arguments that were cut off
    for position, call in enumerate(calls):
        yield from _of_call(f"{place}.message.tool_calls[{position}]", call, is_whole=is_whole)
    function = mapping(message.get("function_call"))
    if function and is_whole:
        yield from wrong_arguments(f"{place}.message.function_call", function)
    if calls and reason == "stop" and not is_forced:  # the API too says "stop" where the request names the function
        yield f'{place} has finish_reason "stop" and tool calls: clients that go by the reason do not run the tools'
    if reason == "tool_calls" and not calls:
        yield f'{place} has finish_reason "tool_calls" and no tool call: clients that go by the reason have none to run'


def _of_call(place: str, call: Mapping[str, object], *, is_whole: bool) -> Iterator[str]:
    if not call.get("id"):
        yield f"{place} has no id: clients cannot say in the next request which call a result belongs to"
    if is_whole and (function := mapping(call.get("function"))):
        yield from wrong_arguments(f"{place}.function", function)


def wrong_arguments(place: str, function: Mapping[str, object]) -> Iterator[str]:
    """Yield a sentence if the arguments of a call are not a JSON object in a string."""
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        kind = "an object" if isinstance(arguments, dict) else "not text"
        yield f"{place}.arguments is {kind} instead of JSON in a string: clients fail, or run the tool without them"
    elif not isinstance(parse(arguments), dict):
        yield f"{place}.arguments is not a JSON object: clients fail, or run the tool without them"


def wrong_usage(usage: Mapping[str, object], names: tuple[str, str] = ("prompt", "completion")) -> Iterator[str]:
    """Yield a sentence for each contradiction in token counts; `names` are what input and output are called."""
    counts = whole_numbers(usage)
    prompt, completion, total = (counts.get(f"{name}_tokens") for name in (*names, "total"))
    if prompt is None or completion is None:
        return
    cached, reasoning = usages.cached_tokens(usage, counts), usages.reasoning_tokens(usage, counts)
    if reasoning and total == prompt + completion + reasoning:
        return  # reasoning on top of the completion, as some servers count it, is understood
    if total not in (None, prompt + completion):
        yield (
            f"usage.total_tokens is {total}, but {names[0]}_tokens and {names[1]}_tokens make {prompt + completion}: "
            "clients that read the total count other tokens than those that add the parts"
        )
    for whole, number, part, of in (
        (names[0], prompt, "cached", cached),
        (names[1], completion, "reasoning", reasoning),
    ):
        if of is not None and of > number:
            yield (
                f"usage has {of} {part} tokens, but only {number} {whole} tokens, which should include them: "
                "clients compute a negative number for the rest"
            )

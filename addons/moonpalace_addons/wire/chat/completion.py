"""Read a finished answer with `choices`, tolerating any malformed member.

A value of the wrong type counts as missing; a bool is not a number.
"""

import re
from collections.abc import Iterator, Mapping

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.json_value import mapping, text_in, whole_number
from moonpalace_addons.wire.usage import Usage, of_answer

WARNING = "it seems that your max_tokens value is too small, please set a larger value"

# Models named after their context window.
_WINDOW = re.compile(r"moonshot-v1-(8|32|128)k\b")
_REASONING_SHARE = 0.9
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def truncation_warning(request: object, completion: object, *, streamed: bool) -> str | None:
    """Return the warning for an answer with a choice that ended by "length" or without a finish reason, else None.

    `request` and `completion` are parsed JSON, the completion merged if it was a stream. Also return None for answers
    that are not chat completions, and for answers with an error, which then is the reason of their end.
    """
    fields, answer = mapping(request), mapping(completion)
    reasons = [choice.get("finish_reason") for choice in choices(answer)]
    at_limit = "length" in reasons
    if (not at_limit and all(reasons)) or not is_chat_completion(answer) or api_error.find(answer) is not None:
        return None
    return truncated(fields, answer, at_limit=at_limit, streamed=streamed)


def truncated(
    request: Mapping[str, object],
    answer: Mapping[str, object],
    *,
    at_limit: bool,
    streamed: bool,
    limit: str = "max_tokens",
) -> str:
    """Return the warning for an answer that was cut off `at_limit`, or that gives no reason for its end.

    `limit` is the member of the request that users know as the limit.

    The suggested limit, for answers that were not streamed: if the name of the requested model gives its context
    window, the window minus the prompt's tokens; else twice the tokens used, or twice the limit of the request if that
    is more. Without these numbers there is no suggestion.

    The warning is the documented sentence, followed by each of these that applies:

        " (suggested max_tokens: N)"
        "; reasoning used up the budget (45 of 48 tokens)", as limits count reasoning too
        "; the context window of 8192 tokens is full", so that no larger value helps
        "; the answer ended without a finish reason, it may be incomplete", of streams
    """
    warning = WARNING + "".join(_clauses(request, answer, at_limit=at_limit, streamed=streamed))
    return warning.replace("max_tokens", limit)


def choices(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the elements of `choices` that are objects."""
    elements = answer.get("choices")
    return [element for element in elements if isinstance(element, dict)] if isinstance(elements, list) else []


def finish_reason(answer: Mapping[str, object]) -> str | None:
    """Return the first finish reason that is not "stop", "stop" if there is no other, None if there is none."""
    reasons = [reason for choice in choices(answer) if (reason := text_in(choice, "finish_reason"))]
    return next((reason for reason in reasons if reason != "stop"), reasons[0] if reasons else None)


def is_chat_completion(answer: Mapping[str, object]) -> bool:
    """Tell whether a parsed answer without an error is a chat completion."""
    return answer.get("object", "chat.completion") in ("chat.completion", "chat.completion.chunk", "")


def _clauses(
    request: Mapping[str, object], answer: Mapping[str, object], *, at_limit: bool, streamed: bool
) -> Iterator[str]:
    usage = of_answer(answer)
    window = _window(request, answer)
    is_full = window is not None and (usage.prompt_tokens or 0) + (usage.completion_tokens or 0) >= window
    suggested = None if is_full else _suggested(request, usage, window)
    if suggested and not streamed:
        yield f" (suggested max_tokens: {suggested})"
    if at_limit:
        yield from _reasoning(answer, usage)
    if is_full:
        yield f"; the context window of {window} tokens is full"
    if streamed and not at_limit:
        yield "; the answer ended without a finish reason, it may be incomplete"


def _window(request: Mapping[str, object], answer: Mapping[str, object]) -> int | None:
    # The requested model comes first: `moonshot-v1-auto` is answered by one of several windows.
    name = next((model for model in (request.get("model"), answer.get("model")) if isinstance(model, str)), "")
    match = _WINDOW.match(name)
    return int(match[1]) * 1024 if match else None


def _suggested(request: Mapping[str, object], usage: Usage, window: int | None) -> int | None:
    if window is not None and usage.prompt_tokens is not None:
        return window - usage.prompt_tokens
    limits = (whole_number(request.get(name)) for name in _LIMITS)
    known = [number for number in (usage.completion_tokens, *limits) if number]
    return 2 * max(known) if known else None


def _reasoning(answer: Mapping[str, object], usage: Usage) -> Iterator[str]:
    spent, of = usage.reasoning_tokens, usage.completion_tokens
    if spent and of and spent >= _REASONING_SHARE * of:
        yield f"; reasoning used up the budget ({spent} of {of} tokens)"
    elif any(_is_only_reasoning(choice) for choice in choices(answer)):
        yield "; reasoning used up the budget"


def _is_only_reasoning(choice: Mapping[str, object]) -> bool:
    message = mapping(choice.get("message"))
    is_cut = choice.get("finish_reason") == "length"
    return (
        is_cut and bool(message.get("reasoning_content")) and not (message.get("content") or message.get("tool_calls"))
    )

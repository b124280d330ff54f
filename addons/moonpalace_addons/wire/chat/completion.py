"""Read a finished answer of the API, tolerating any malformed member.

Three documented formats are supported: `chat.completion` of /v1/chat/completions, `response` of /v1/responses and
`message` of /anthropic/v1/messages. A value of the wrong type counts as missing; a bool is not a number.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from moonpalace_addons.wire import usage
from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.json_value import mapping, whole_number
from moonpalace_addons.wire.usage import Usage

WARNING = "it seems that your max_tokens value is too small, please set a larger value"

# Models named after their context window.
_WINDOW = re.compile(r"moonshot-v1-(8|32|128)k\b")
_REASONING_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Summary:
    """The fields of a stored call that come from its answer."""

    id: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    error: ApiError | None = None


def summarize(completion: object, *, failed: bool = False) -> Summary:
    """Return the summary of `completion`, the parsed JSON of an answer; never raise.

    `failed` means that it is an error by its status, whatever it looks like.

    The first finish reason that is not "stop" counts. /v1/responses gives the reason why it is incomplete, or else its
    status; /messages its stop reason.
    """
    answer = mapping(completion)
    return Summary(
        id=answer_id(completion),
        model=_text(answer.get("model")),
        finish_reason=_finish_reason(answer),
        usage=usage.of_answer(answer),
        error=api_error.find(completion, failed=failed),
    )


def answer_id(value: object) -> str | None:
    """Return the ID of an answer: of a completion, response or message, or of one that an event starts or continues.

    Other objects, such as files and batches, have IDs too, but are not answers.
    """
    fields = mapping(value)
    kind = fields.get("type")
    if kind == "message_start":
        fields = mapping(fields.get("message"))
    elif isinstance(kind, str) and kind.startswith("response."):
        fields = mapping(fields.get("response"))
    is_answer = fields.get("type") == "message" or fields.get("object") == "response"
    return _text(fields.get("id")) if is_answer or next(choices(fields), None) is not None else None


def truncation_warning(request: object, completion: object, *, streamed: bool, status: int) -> str | None:
    """Return the warning for an answer with a choice that ended by "length" or without a finish reason, else None.

    `request` and `completion` are parsed JSON, the completion merged if it was a stream. Also return None unless the
    status is 2xx, for answers that are not chat completions, and for answers with an error, which then is the reason of
    their end.

    The suggested limit, for answers that were not streamed: if the name of the requested model gives its context
    window, the window minus the prompt's tokens; else twice the tokens used, or twice the limit of the request if that
    is more. Without these numbers there is no suggestion.

    The warning is the documented sentence, followed by each of these that applies:

        " (suggested max_tokens: N)"
        "; reasoning used up the budget (45 of 48 tokens)", as `max_completion_tokens` counts reasoning too
        "; the context window of 8192 tokens is full", so that no larger value helps
        "; the answer ended without a finish reason, it may be incomplete", of streams
    """
    asked, answer = mapping(request), mapping(completion)
    reasons = [choice.get("finish_reason") for choice in choices(answer)] if _is_chat_completion(answer, status) else []
    at_length = "length" in reasons
    if not at_length and all(reasons):
        return None
    return WARNING + "".join(_clauses(asked, answer, at_length=at_length, streamed=streamed))


def choices(answer: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the elements of `choices` that are objects."""
    elements = answer.get("choices")
    return (element for element in (elements if isinstance(elements, list) else ()) if isinstance(element, dict))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _finish_reason(answer: Mapping[str, object]) -> str | None:
    reasons = [reason for choice in choices(answer) if (reason := _text(choice.get("finish_reason")))]
    if reasons:
        return next((reason for reason in reasons if reason != "stop"), "stop")
    if answer.get("object") == "response":
        return _text(mapping(answer.get("incomplete_details")).get("reason")) or _text(answer.get("status"))
    return _text(answer.get("stop_reason"))


def _is_chat_completion(answer: Mapping[str, object], status: int) -> bool:
    is_chat = answer.get("object", "chat.completion") in ("chat.completion", "chat.completion.chunk", "")
    return 200 <= status < 300 and is_chat and api_error.find(answer) is None


def _clauses(
    asked: Mapping[str, object], answer: Mapping[str, object], *, at_length: bool, streamed: bool
) -> Iterator[str]:
    usage = summarize(answer).usage
    window = _window(asked, answer)
    is_full = window is not None and (usage.prompt_tokens or 0) + (usage.completion_tokens or 0) >= window
    suggested = None if is_full else _suggested(asked, usage, window)
    if suggested and not streamed:
        yield f" (suggested max_tokens: {suggested})"
    if at_length:
        yield from _reasoning(answer, usage)
    if is_full:
        yield f"; the context window of {window} tokens is full"
    if streamed and not at_length:
        yield "; the answer ended without a finish reason, it may be incomplete"


def _window(asked: Mapping[str, object], answer: Mapping[str, object]) -> int | None:
    # The requested model comes first: `moonshot-v1-auto` is answered by one of several windows.
    name = next((model for model in (asked.get("model"), answer.get("model")) if isinstance(model, str)), "")
    match = _WINDOW.match(name)
    return int(match[1]) * 1024 if match else None


def _suggested(asked: Mapping[str, object], usage: Usage, window: int | None) -> int | None:
    if window is not None and usage.prompt_tokens is not None:
        return window - usage.prompt_tokens
    limits = (whole_number(asked.get(name)) for name in ("max_completion_tokens", "max_tokens"))
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

"""Completions as values, their token counts, and their JSON form without streaming."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from moonpalace_cli.mock.chat_request import Json, count_tokens

type Cut = Callable[[str], Sequence[str]]
type Fields = dict[str, Json]
type FinishReason = Literal["stop", "length", "tool_calls"]

REASONING_MARKS = 3  # tokens that open and close the reasoning; they count, but are not reasoning

_WORD = re.compile(
    r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]{1,2}|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+\s*|\s+"
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function; `arguments` is JSON text, or the beginning of it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the assistant."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to a request."""

    message: Message
    finish_reason: FinishReason = "stop"


@dataclass(frozen=True, slots=True)
class Completion:
    """A complete answer; `created` is in seconds since 1970."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int


def by_word(text: str) -> list[str]:
    """Cut a text into words with the space that follows, Chinese into pairs of characters."""
    return _WORD.findall(text)


def limited(choice: Choice, budget: int | None) -> Choice:
    """Shorten a choice to `budget` tokens, reasoning first, as the API counts them."""
    if budget is None or _message_tokens(choice.message) <= budget:
        return choice
    message = choice.message
    marks = REASONING_MARKS if message.reasoning else 0
    reasoning = _shorten(message.reasoning, budget - marks)
    remaining = budget - count_tokens(reasoning) - marks
    content = _shorten(message.content, remaining)
    remaining -= count_tokens(content)
    calls: list[ToolCall] = []
    for call in message.tool_calls:
        if remaining <= 0:
            break
        calls.append(replace(call, arguments=_shorten(call.arguments, remaining)))
        remaining -= count_tokens(calls[-1].arguments)
    return replace(choice, message=Message(content, reasoning, tuple(calls)), finish_reason="length")


def completion_tokens(choice: Choice) -> int:
    """Count all tokens of a choice, reasoning included."""
    return _message_tokens(choice.message)


def reasoning_tokens(choice: Choice) -> int:
    """Count the reasoning tokens of a choice."""
    return count_tokens(choice.message.reasoning)


def usage(completion: Completion) -> Fields:
    """Return the usage of a completion; like the API, it has cached tokens both flat and nested."""
    numbers: Fields = {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
        "cached_tokens": completion.cached_tokens,
        "prompt_tokens_details": {"cached_tokens": completion.cached_tokens},
    }
    if completion.reasoning_tokens:
        numbers["completion_tokens_details"] = {"reasoning_tokens": completion.reasoning_tokens}
    return numbers


def as_answer(completion: Completion) -> Fields:
    """Return the completion in the form of the API without streaming."""
    return {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
        "choices": [_whole_choice(index, choice) for index, choice in enumerate(completion.choices)],
        "usage": usage(completion),
    }


def _shorten(text: str, tokens: int) -> str:
    return text.encode("utf-8", "surrogatepass")[: max(tokens, 0) * 4].decode("utf-8", "ignore")


def _message_tokens(message: Message) -> int:
    texts = (message.reasoning, message.content, *(call.arguments for call in message.tool_calls))
    return sum(map(count_tokens, texts)) + (REASONING_MARKS if message.reasoning else 0)


def _whole_choice(index: int, choice: Choice) -> Fields:
    message: Fields = {"role": "assistant", "content": choice.message.content}
    if choice.message.reasoning:
        message["reasoning_content"] = choice.message.reasoning
    if choice.message.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.message.tool_calls
        ]
    return {"index": index, "message": message, "finish_reason": choice.finish_reason}

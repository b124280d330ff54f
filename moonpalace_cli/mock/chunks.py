"""Split a completion into the chunks of a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest

from moonpalace_cli.mock.completions import Choice, Completion, Cut, Fields, Message, ToolCall, usage


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a completion is cut into chunks; `interleaved` lets the pieces of parallel tool calls alternate."""

    cut: Cut
    interleaved: bool = False
    include_usage: bool = False


def as_chunks(completion: Completion, streaming: Streaming) -> list[Fields]:
    """Return the chunks of the completion in streaming order, choices in turn.

    Each lacks the common fields of `chunk_head`.
    """
    turns = zip_longest(*(_choice_rows(index, choice, streaming) for index, choice in enumerate(completion.choices)))
    rows = [row for turn in turns for row in turn if row is not None]
    rows[-1]["usage"] = usage(completion)
    chunks: list[Fields] = [{"choices": [row]} for row in rows]
    if streaming.include_usage:
        chunks.append({"choices": [], "usage": usage(completion)})
    return chunks


def chunk_head(completion: Completion) -> Fields:
    """Return the fields with which every chunk of the completion begins."""
    return {
        "id": completion.id,
        "object": "chat.completion.chunk",
        "created": completion.created,
        "model": completion.model,
    }


def _choice_rows(index: int, choice: Choice, streaming: Streaming) -> list[Fields]:
    rows: list[Fields] = [
        {"index": index, "delta": delta, "finish_reason": None} for delta in _deltas(choice.message, streaming)
    ]
    return [*rows, {"index": index, "delta": {}, "finish_reason": choice.finish_reason}]


def _deltas(message: Message, streaming: Streaming) -> Iterator[Fields]:
    cut = streaming.cut
    yield {"role": "assistant", "content": ""}
    for field, text in (("reasoning_content", message.reasoning), ("content", message.content)):
        for piece in cut(text):
            yield {field: piece}
    rows = [_call_rows(index, call, cut) for index, call in enumerate(message.tool_calls)]
    in_order = chain.from_iterable(zip_longest(*rows) if streaming.interleaved else rows)
    for row in in_order:
        if row is not None:
            yield {"tool_calls": [row]}


def _call_rows(index: int, call: ToolCall, cut: Cut) -> list[Fields]:
    head: Fields = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    pieces: list[Fields] = [{"index": index, "function": {"arguments": piece}} for piece in cut(call.arguments)]
    return [{"index": index} | head, *pieces]

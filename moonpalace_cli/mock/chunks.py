"""The chunks that carry a completion as a stream."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

from moonpalace_cli.mock.completions import Choice, Completion, Cut, Fields, Message, ToolCall, logprob, usage

type UsagePlace = Literal["as asked", "nowhere", "both"]
type ToolStyle = Literal["in turn", "interleaved", "no index"]


@dataclass(frozen=True, slots=True)
class Streaming:
    """Say how a completion is cut into chunks."""

    cut: Cut
    tools: ToolStyle = "in turn"
    usage: UsagePlace = "as asked"
    include_usage: bool = False
    empty_choices: bool = False


def as_chunks(completion: Completion, streaming: Streaming) -> list[Fields]:
    """Return the chunks of the completion in the order in which they are streamed, choices in turn.

    Each comes without what `chunk_head` gives, which all of them share.
    """
    turns = zip_longest(*(_choice_rows(index, choice, streaming) for index, choice in enumerate(completion.choices)))
    rows = [row for turn in turns for row in turn if row is not None]
    if streaming.usage != "nowhere":
        rows[-1]["usage"] = usage(completion)
    chunks: list[Fields] = [{"choices": [row]} for row in rows]
    if streaming.usage == "both":
        chunks[-1]["usage"] = usage(completion)
    if streaming.usage != "nowhere" and streaming.include_usage:
        chunks.append({"choices": [], "usage": usage(completion)})
    if streaming.empty_choices:
        chunks = [{"choices": []}, *chunks[:2], {"choices": []}, *chunks[2:]]
    return chunks


def chunk_head(completion: Completion) -> Fields:
    """Return the fields that every chunk of the completion begins with."""
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
    if choice.logprobs:
        for row, word in zip(rows[1:], streaming.cut(choice.message.content or ""), strict=True):
            row["logprobs"] = {"content": [logprob(word)]}
    return [*rows, {"index": index, "delta": {}, "finish_reason": choice.finish_reason}]


def _deltas(message: Message, streaming: Streaming) -> Iterator[Fields]:
    cut = streaming.cut
    yield {"role": "assistant", "content": message.content and ""}
    texts = {"reasoning_content": message.reasoning, "content": message.content or "", "refusal": message.refusal}
    for field, text in texts.items():
        for piece in cut(text):
            yield {field: piece}
    for row in _TOOL_STYLES[streaming.tools](message.tool_calls, cut):
        yield {"tool_calls": [row]}


def _begun(call: ToolCall) -> Fields:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}


def _call_rows(index: int, call: ToolCall, cut: Cut) -> list[Fields]:
    pieces: list[Fields] = [{"index": index, "function": {"arguments": piece}} for piece in cut(call.arguments)]
    return [{"index": index} | _begun(call), *pieces]


def _in_turn(calls: Sequence[ToolCall], cut: Cut) -> Iterator[Fields]:
    return chain.from_iterable(_call_rows(index, call, cut) for index, call in enumerate(calls))


def _interleaved(calls: Sequence[ToolCall], cut: Cut) -> Iterator[Fields]:
    rows = [_call_rows(index, call, cut) for index, call in enumerate(calls)]
    return (row for turn in zip_longest(*rows) for row in turn if row is not None)


def _no_index(calls: Sequence[ToolCall], cut: Cut) -> Iterator[Fields]:
    """Tell calls apart by id alone; the last piece of each comes after all calls have begun."""
    late: list[Fields] = []
    for call in calls:
        *early, last = cut(call.arguments) or [""]
        yield _begun(call)
        for piece in early:
            yield {"id": call.id, "function": {"arguments": piece}}
        late.append({"id": call.id, "function": {"arguments": last}})
    yield from late


_TOOL_STYLES: dict[ToolStyle, Callable[[Sequence[ToolCall], Cut], Iterator[Fields]]] = {
    "in turn": _in_turn,
    "interleaved": _interleaved,
    "no index": _no_index,
}

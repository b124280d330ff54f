"""Answers of Anthropic's messages: a completion as a message, or as the events of one."""

import json
from collections.abc import Iterator

from moonpalace_cli.mock.answers import Answer, failure_answer, json_answer
from moonpalace_cli.mock.chat_request import ChatRequest, Json
from moonpalace_cli.mock.completions import Completion, Cut, Fields, FinishReason, ToolCall
from moonpalace_cli.mock.event_answers import Shape, event_answer
from moonpalace_cli.mock.failures import Failure
from moonpalace_cli.mock.scenarios import Scenario

STOP_REASONS: dict[FinishReason, str] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
ANTHROPIC_STATUSES = (400, 404)
"""Statuses of errors in Anthropic's format; others have OpenAI's on all endpoints of the API."""


def message_answer(request: ChatRequest, scenario: Scenario) -> Answer:
    """Answer a request by the scenario."""
    return event_answer(request, scenario, Shape(as_message, as_events, message_failure, _error))


def message_failure(digest: str, failure: Failure) -> Answer:
    """Answer with an error, which is in Anthropic's format only for some statuses."""
    if failure.html or failure.status not in ANTHROPIC_STATUSES:
        return failure_answer(digest, failure)
    return json_answer(digest, _error(failure), failure.status)


def as_message(completion: Completion) -> Fields:
    """Return the first choice of a completion as a message in the form of the API without streaming."""
    return _message(completion) | {
        "content": [whole for _, _, whole in _blocks(completion)],
        "stop_reason": STOP_REASONS[completion.choices[0].finish_reason],
        "usage": _usage(completion, completion.completion_tokens),
    }


def as_events(completion: Completion, cut: Cut) -> list[Fields]:
    """Return the data of the events of a message."""
    events: list[Fields] = [{"type": "message_start", "message": _message(completion)}, {"type": "ping"}]
    for index, (begun, deltas, _) in enumerate(_blocks(completion, cut)):
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    reason = STOP_REASONS[completion.choices[0].finish_reason]
    usage = _usage(completion, completion.completion_tokens)
    events.append(
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
    )
    return [*events, {"type": "message_stop"}]


type _Block = tuple[Fields, list[Fields], Fields]
"""A block as it starts, the deltas that follow, and the whole."""


def _blocks(completion: Completion, cut: Cut = lambda text: [text]) -> Iterator[_Block]:
    message = completion.choices[0].message
    if message.reasoning:
        signature = f"sig-{completion.id[-16:]}"
        deltas: list[Fields] = [{"type": "thinking_delta", "thinking": piece} for piece in cut(message.reasoning)]
        deltas.append({"type": "signature_delta", "signature": signature})
        begun: Fields = {"type": "thinking", "thinking": "", "signature": ""}
        yield begun, deltas, {"type": "thinking", "thinking": message.reasoning, "signature": signature}
    if message.content:
        deltas = [{"type": "text_delta", "text": piece} for piece in cut(message.content)]
        yield {"type": "text", "text": ""}, deltas, {"type": "text", "text": message.content}
    for call in message.tool_calls:
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *cut(call.arguments))]
        yield _tool_use(call, {}), deltas, _tool_use(call, _input(call.arguments))


def _tool_use(call: ToolCall, arguments: Json) -> Fields:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _input(arguments: str) -> Json:
    try:
        value: Json = json.loads(arguments)
    except ValueError:  # cut off by the budget
        return {}
    return value


def _message(completion: Completion) -> Fields:
    """Return a message at its beginning."""
    return {
        "id": f"msg_{completion.id[-24:]}",
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(completion, 1),
    }


def _usage(completion: Completion, output_tokens: int) -> Fields:
    usage: Fields = {
        "input_tokens": completion.prompt_tokens - completion.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": completion.cached_tokens,
        "output_tokens": output_tokens,
    }
    if completion.reasoning_tokens and output_tokens == completion.completion_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": completion.reasoning_tokens}
    return usage


def _error(failure: Failure) -> Fields:
    return {"type": "error", "error": {"type": failure.kind, "message": failure.message}}

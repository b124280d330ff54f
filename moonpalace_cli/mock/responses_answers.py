"""Answers of the responses endpoint: a completion as a response, or as the events of one."""

from collections.abc import Iterator

from moonpalace_cli.mock.answers import EVENTS_BEFORE_ERROR, Answer, failure_answer
from moonpalace_cli.mock.chat_request import ChatRequest, Json
from moonpalace_cli.mock.completions import Completion, Cut, Fields
from moonpalace_cli.mock.event_answers import Shape, event_answer
from moonpalace_cli.mock.failures import Failure
from moonpalace_cli.mock.responses_request import SEPARATOR
from moonpalace_cli.mock.scenarios import Scenario

NO_LOGPROBS: Fields = {"logprobs": []}


def response_answer(request: ChatRequest, scenario: Scenario) -> Answer:
    """Answer a request by the scenario."""
    return event_answer(request, scenario, Shape(as_response, as_events, failure_answer, _error_event))


def as_response(completion: Completion) -> Fields:
    """Return the first choice of a completion as a response in the form of the API without streaming."""
    is_cut = completion.choices[0].finish_reason == "length"
    usage: Fields = {
        "input_tokens": completion.prompt_tokens,
        "input_tokens_details": {"cached_tokens": completion.cached_tokens},
        "output_tokens": completion.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": completion.reasoning_tokens},
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
    }
    ending: Fields = {
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [whole for _, _, whole in _items(completion)],
        "usage": usage,
    }
    return _response(completion) | ending


def as_events(completion: Completion, cut: Cut) -> list[Fields]:
    """Return the data of the events of a response."""
    begun, whole = _response(completion), as_response(completion)
    events: list[Fields] = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    for index, (item, inside, done) in enumerate(_items(completion, cut)):
        place: Fields = {"item_id": item["id"], "output_index": index}
        events.append({"type": "response.output_item.added", "output_index": index, "item": item})
        events += [{"type": f"response.{name}", **place, **fields} for name, fields in inside]
        events.append({"type": "response.output_item.done", "output_index": index, "item": done})
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


type _Item = tuple[Fields, list[tuple[str, Fields]], Fields]
"""An item as it is added, the names and members of the events within it, and the whole."""


def _items(completion: Completion, cut: Cut = lambda text: [text]) -> Iterator[_Item]:
    message, ident = completion.choices[0].message, completion.id[-16:]
    status = "incomplete" if completion.choices[0].finish_reason == "length" else "completed"
    if message.reasoning:
        item: Fields = {"id": f"rs_{ident}", "type": "reasoning", "summary": []}
        inside = [*_texts("reasoning_summary", {"summary_index": 0}, {"type": "summary_text"}, message.reasoning, cut)]
        yield item, inside, item | {"summary": [{"type": "summary_text", "text": message.reasoning}]}
    if message.content:
        item = {"id": f"msg_{ident}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        empty: Fields = {"type": "output_text", "annotations": [], **NO_LOGPROBS}
        inside = [*_texts("content", {"content_index": 0}, empty, message.content, cut)]
        yield item, inside, item | {"status": status, "content": [{**empty, "text": message.content}]}
    for number, call in enumerate(message.tool_calls):
        item = {"id": f"fc_{ident}_{number}", "type": "function_call", "status": "in_progress", "arguments": ""}
        space, _, name = call.name.rpartition(SEPARATOR)
        item |= {"call_id": call.id, "name": name, **({"namespace": space} if space else {})}
        inside = [("function_call_arguments.delta", {"delta": piece}) for piece in cut(call.arguments)]
        inside.append(("function_call_arguments.done", {"name": name, "arguments": call.arguments}))
        yield item, inside, item | {"status": status, "arguments": call.arguments}


def _texts(kind: str, place: Fields, part: Fields, text: str, cut: Cut) -> Iterator[tuple[str, Fields]]:
    name, more = ("output_text", NO_LOGPROBS) if kind == "content" else (f"{kind}_text", {})
    yield f"{kind}_part.added", {**place, "part": {**part, "text": ""}}
    for piece in cut(text):
        yield f"{name}.delta", {**place, "delta": piece, **more}
    yield f"{name}.done", {**place, "text": text, **more}
    yield f"{kind}_part.done", {**place, "part": {**part, "text": text}}


def _response(completion: Completion) -> Fields:
    """Return a response at its beginning."""
    nothing: dict[str, Json] = dict.fromkeys(("error", "incomplete_details", "instructions", "usage"))
    return {
        "id": f"resp_{completion.id[-24:]}",
        "object": "response",
        "created_at": completion.created,
        "status": "in_progress",
        "model": completion.model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **nothing,
    }


def _error_event(failure: Failure) -> Fields:
    error: Fields = {"code": failure.kind, "message": failure.message, "param": None}
    return {"type": "error", **error, "sequence_number": EVENTS_BEFORE_ERROR}

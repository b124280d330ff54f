"""Parts of a completion that the API does not allow."""

from typing import Any

from moonpalace_addons.wire.chat.deviations import deviations
from tests.tables import for_each

type Json = dict[str, Any]

CALL: Json = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def called(arguments: object, **call: object) -> Json:
    return {**CALL, "function": {"name": "f", "arguments": arguments}, **call}


def answer(*calls: Json, reason: str | None = "tool_calls", **message: object) -> Json:
    listed = {"tool_calls": list(calls)} if calls else {}
    return {"choices": [{"index": 0, "message": {**listed, **message}, "finish_reason": reason}]}


def used(prompt: object, completion: object, total: object, **more: object) -> Json:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}}


CASES: list[tuple[Json, list[str]]] = [
    (answer(CALL), []),
    (
        answer(CALL, called("[]", id="")),
        ["choices[0].message.tool_calls[1] has no id", "tool_calls[1].function.arguments is"],
    ),
    (answer(called("")), ["choices[0].message.tool_calls[0].function.arguments is not a JSON object"]),
    (answer(called(None)), ["function.arguments is not text instead of JSON"]),
    (answer(called({"a": 1})), ["function.arguments is an object instead of JSON"]),
    (answer(called('{"a": '), reason="length"), []),
    (answer(called('{"a": '), reason="repeat"), []),
    (answer({"id": "1", "type": "custom", "custom": {"name": "f", "input": "{"}}), []),
    (answer(CALL, reason="stop"), ['choices[0] has finish_reason "stop" and tool calls']),
    (answer(), ['choices[0] has finish_reason "tool_calls" and no tool call']),
    (
        answer(reason="function_call", function_call={"name": "f", "arguments": "x"}),
        ["message.function_call.arguments"],
    ),
    (answer(reason=None), []),
    (answer(reason="stop", tool_calls=[None, 3], content="x"), []),
    (used(1, 2, 3), []),
    (used(1, 2, None), []),
    (used(1, "2", 9), []),
    (used(10, 4, 60), ["usage.total_tokens is 60, but prompt_tokens and completion_tokens make 14"]),
    (
        used(10, 4, 14, prompt_tokens_details={"cached_tokens": 11}),
        ["usage has 11 cached tokens, but only 10 prompt tokens"],
    ),
    (
        used(10, 4, 14, completion_tokens_details={"reasoning_tokens": 5}),
        ["usage has 5 reasoning tokens, but only 4 completion tokens"],
    ),
    (used(10, 4, 29, completion_tokens_details={"reasoning_tokens": 15}), []),
    ({"x_groq": used(1, 2, 4)}, ["usage.total_tokens is 4"]),
    ({"choices": 3, "usage": []}, []),
]


@for_each(("completion", "expected"), CASES)
def test_deviations(completion: Json, expected: list[str]) -> None:
    """Each deviation is reported once, with its place; truncation by a limit or a loop is not one."""
    found = list(deviations(completion))
    assert len(found) == len(expected), found
    assert all(part in sentence and ": " in sentence for part, sentence in zip(expected, found, strict=True))


def test_a_forced_function() -> None:
    """If the request names the function, the API itself says "stop"."""
    assert not list(
        deviations(answer(CALL, reason="stop"), tool_choice={"type": "function", "function": {"name": "f"}})
    )
    assert list(deviations(answer(CALL, reason="stop"), tool_choice="auto"))

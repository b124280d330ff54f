"""Tool calls: every piece finds its call."""

import time
from typing import Any

import pytest

from moonpalace_addons.wire.tool_calls import ToolCalls

type Json = dict[str, Any]


def call(arguments: str | None = None, **fields: object) -> Json:
    """Return a piece of a tool call; `name` goes into the function."""
    function = {"name": fields.pop("name", None), "arguments": arguments}
    return {**fields, "function": {key: value for key, value in function.items() if value is not None}}


def gather(*lists: list[Any]) -> list[Json]:
    tool_calls = ToolCalls()
    for pieces in lists:
        tool_calls.feed(pieces)
    return tool_calls.result()


CALLS: dict[str, tuple[list[list[object]], list[tuple[str | None, str | None, str]]]] = {
    "by index": (
        [[call("", index=0, id="a", name="f")], [call("{", index=0)], [call("}", index=0)]],
        [("a", "f", "{}")],
    ),
    "in parallel": (
        [
            [call("", index=0, id="a", name="f"), call("1", index=1, id="b", name="g")],
            [call("2", index=1), call("{}", index=0)],
        ],
        [("a", "f", "{}"), ("b", "g", "12")],
    ),
    "an earlier call goes on after a later one has begun": (
        [
            [call("{", index=0, id="a", name="f")],
            [call("[", index=1, id="b", name="g")],
            [call("}", index=0)],
            [call("]", index=1)],
        ],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "sorted by index": (
        [[call("2", index=5, id="b", name="g")], [call("1", index=2, id="a", name="f")]],
        [("a", "f", "1"), ("b", "g", "2")],
    ),
    "by id": (
        [[call("{", id="a", name="f")], [call("[", id="b", name="g")], [call("}", id="a")], [call("]", id="b")]],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "by position": (
        [[call("{", name="f"), call("[", name="g")], [call("}"), call("]")]],
        [(None, "f", "{}"), (None, "g", "[]")],
    ),
    "pieces without either go to the call before them": (
        [
            [call("", id="a", name="f")],
            [call("{")],
            [call("}")],
            [call("", id="b", name="g")],
            [call("[")],
            [call("]")],
        ],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "the same after calls with an index": (
        [
            [call("{", index=0, id="a", name="f")],
            [call("[", index=1, id="b", name="g")],
            [call("]")],
            [call("}", index=0)],
        ],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "another name begins a call": (
        [[call("{}", name="f")], [call("[", name="g")], [call("]", name="g")]],
        [(None, "f", "{}"), (None, "g", "[]")],
    ),
    "a position past the list": (
        [[call("{", name="f")], [call("}"), call("[]", name="g")]],
        [(None, "f", "{}"), (None, "g", "[]")],
    ),
    "positions are those of the list that began the calls": (
        [[call("{", name="f"), call("[", name="g")], [call(" ")], [call("}"), call("]")]],
        [(None, "f", "{ }"), (None, "g", "[]")],
    ),
    "a position past the list, without a name": (
        [[call("{", name="f")], [call("}"), call("[")], [call(""), call("]")]],
        [(None, "f", "{}"), (None, None, "[]")],
    ),
    "index and id of one call": (
        [[call("{", id="a", name="f")], [call("}", index=0, id="a")], [call(" ", index=0)]],
        [("a", "f", "{} ")],
    ),
    "the index wins over the id": (
        [[call("{", index=0, id="a", name="f")], [call("}", index=0, id="z")]],
        [("a", "f", "{}")],
    ),
    "an id twice under two indexes": (
        [[call("1", index=0, id="a", name="f")], [call("2", index=1, id="a", name="f")]],
        [("a", "f", "1"), ("a", "f", "2")],
    ),
    "a bool is no index": (
        [[call("{", index=True, id="a", name="f")], [call("}", index=False, id="a")]],
        [("a", "f", "{}")],
    ),
    "empty id and name come later": (
        [[call("{", index=0, id="", name="")], [call("}", index=0, id="a", name="f")]],
        [("a", "f", "{}")],
    ),
    "no arguments": ([[call(index=0, id="a", name="f")]], [("a", "f", "")]),
    "nonsense is skipped": ([[None, 7, call("{}", id="a", name="f"), "x"]], [("a", "f", "{}")]),
    "text before any call": ([[call("{}")]], [(None, None, "{}")]),
}


@pytest.mark.parametrize("name", CALLS)
def test_pieces_find_their_call(name: str) -> None:
    """A piece belongs to the call with its index, else with its id, else at its position."""
    lists, expected = CALLS[name]
    made = gather(*lists)
    assert [(call.get("id"), call["function"].get("name"), call["function"]["arguments"]) for call in made] == expected
    assert all(set(call) <= {"id", "type", "function"} for call in made)


def test_a_call_has_the_shape_of_the_answer() -> None:
    """A gathered call has id, type and function, unknown fields too, and no index."""
    assert gather([{"index": 0, "id": "a", "x": 1, "function": {"name": "f", "y": 2}}]) == [
        {"id": "a", "type": "function", "x": 1, "function": {"name": "f", "y": 2, "arguments": ""}}
    ]
    assert gather([{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]) == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    ]
    assert gather([{"index": 0, "type": "custom"}]) == [{"type": "custom"}]
    assert gather([]) == []


def test_time_is_linear() -> None:
    """Eight times as many calls take nowhere near the 64 times as long that quadratic work would take."""

    def seconds(count: int) -> float:
        lists = [[call("{", id=f"call-{number}", name="f")] for number in range(count)] + [[call("}")]] * count
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            gather(*lists)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(16_000) < 24 * max(seconds(2_000), 0.001)

"""Tool calls: every piece finds its call."""

from collections.abc import Callable
from typing import Any

from moonpalace_addons.wire.chat.pieces import Doubts
from moonpalace_addons.wire.chat.tool_calls import GOES_ON, REPEATED, SAME_INDEX, ToolCalls
from tests.linear import takes_linear_time
from tests.tables import for_each

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
    "two calls with one index": (
        [
            [call("", index=0, id="a", name="read")],
            [call('{"path":"a"}', index=0)],
            [call("", index=0, id="b", name="write")],
            [call('{"path":"b"}', index=0)],
        ],
        [("a", "read", '{"path":"a"}'), ("b", "write", '{"path":"b"}')],
    ),
    "two calls of one tool with one index": (
        [[call("{}", index=0, id="a", name="f")], [call("{}", index=0, id="b", name="f")]],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "the same without arguments": (
        [[call(index=0, id="a", name="f"), call(index=0, id="b", name="f")]],
        [("a", "f", ""), ("b", "f", "")],
    ),
    "the same without ids": (
        [[call("{}", index=0, name="f")], [call("[", index=0, name="f")], [call("]", index=0, name="f")]],
        [(None, "f", "{}"), (None, "f", "[]")],
    ),
    "neither index nor id, one tool twice": (
        [[call("{}", name="f")], [call("{}", name="f")]],
        [(None, "f", "{}"), (None, "f", "{}")],
    ),
    "two calls with one index, mixed": (
        [
            [call("{", index=0, id="a", name="f"), call("[", index=0, id="b", name="g")],
            [call("}", index=0, id="a"), call("]", index=0, id="b")],
        ],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "a fresh id for each piece": (
        [[call("", index=0, id="a", name="f")], [call("{", index=0, id="b")], [call("}", index=0, id="c")]],
        [("a", "f", "{}")],
    ),
    "a fresh id for each piece, and the name": (
        [
            [call("{", index=0, id="a", name="f")],
            [call("[]", index=0, id="b", name="f")],
            [call("}", index=0, id="c", name="f")],
        ],
        [("a", "f", "{[]}")],
    ),
    "a fresh id for each piece, without an index": (
        [[call("", id="a", name="f")], [call("{", id="b")], [call("}", id="c")], [call("[]", id="d", name="g")]],
        [("a", "f", "{}"), ("d", "g", "[]")],
    ),
    "the name with each piece": (
        [
            [call("", index=0, id="a", name="f")],
            [call("{", index=0, name="f")],
            [call("}", index=0, name="f")],
            [call("", index=0, name="f")],
        ],
        [("a", "f", "{}")],
    ),
    "a name in pieces": (
        [[call("", index=0, id="a", name="get_")], [call("", index=0, name="weather")], [call("{}", index=0)]],
        [("a", "get_weather", "{}")],
    ),
    "arguments that come twice": (
        [
            [call('{"a"', index=0, id="a", name="f")],
            [call(":1}", index=0)],
            [call('{"a":1}', index=0, id="a", name="f")],
        ],
        [("a", "f", '{"a":1}')],
    ),
    "brackets in strings close nothing": (
        [
            [call('{"a": "}', index=0, id="a", name="f")],
            [call('\\"}"', index=0, id="b", name="f")],
            [call("}", index=0, id="c", name="f")],
        ],
        [("a", "f", '{"a": "}\\"}"}')],
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


@for_each("name", CALLS)
def test_pieces_find_their_call(name: str) -> None:
    """A piece belongs to the call with its index, else with its id, else at its position."""
    lists, expected = CALLS[name]
    made = gather(*lists)
    assert [(call.get("id"), call["function"].get("name"), call["function"]["arguments"]) for call in made] == expected
    assert all(set(call) <= {"id", "type", "function"} for call in made)


def test_a_call_has_the_shape_of_the_answer() -> None:
    """A merged call has id, type and function, including unknown fields, but no index."""
    assert gather([{"index": 0, "id": "a", "x": 1, "function": {"name": "f", "y": 2}}]) == [
        {"id": "a", "type": "function", "x": 1, "function": {"name": "f", "y": 2, "arguments": ""}}
    ]
    assert gather([{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]) == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    ]
    assert gather([{"index": 0, "type": "custom"}]) == [{"type": "custom"}]
    assert gather([]) == []


def test_custom_tools_keep_their_name_and_input() -> None:
    """The name of a custom tool is kept and its input is joined; two with the same index are two."""
    made = gather(
        [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}],
        [{"index": 0, "custom": {"input": " 1"}}],
        [{"index": 0, "id": "b", "type": "custom", "custom": {"name": "shell", "input": "ls"}}],
    )
    assert made == [
        {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}},
        {"id": "b", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
    ]


def test_doubts_are_told() -> None:
    """Each way of telling calls apart, and each dropped or invalid part, is reported once."""
    doubts: Doubts = {}
    calls = ToolCalls(doubts)
    calls.feed([call("{}", index=0, id="a", name="f")])
    assert list(doubts) == []
    calls.feed([call("{}", index=0, id="a", name="f")])
    calls.feed([call("{}", index=0, id="b", name="g")])
    calls.feed([call("[1]", index=0)])
    assert list(doubts) == [REPEATED, SAME_INDEX, GOES_ON]


def test_time_is_linear_whatever_the_quirk() -> None:
    """Fresh ids, names in each piece and repeated arguments take linear time."""

    def prepare(count: int) -> Callable[[], object]:
        pieces = [call('{"a": [' + "1, " * 20, index=0, id="0", name="f")]
        pieces += [call("1, ", index=0, id=str(number), name="f") for number in range(1, count)]

        def run() -> None:
            (made,) = gather(*([piece] for piece in pieces))
            assert made["function"]["name"] == "f"

        return run

    assert takes_linear_time(prepare, 2_000)


def test_time_is_linear() -> None:
    """Many calls, each in two pieces, take linear time."""

    def prepare(count: int) -> Callable[[], object]:
        lists = [[call("{", id=f"call-{number}", name="f")] for number in range(count)] + [[call("}")]] * count
        return lambda: gather(*lists)

    assert takes_linear_time(prepare, 2_000)

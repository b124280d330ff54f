"""Invented arguments for the schemas of tools."""

import pytest

from moonpalace_cli.mock.chat_request import Json, chat_request
from moonpalace_cli.mock.scripts import example, named_tool
from tests.tables import for_each

NESTED: Json = {"type": "object", "properties": {"b": {"type": "array", "items": {"type": "boolean"}}}}
ITSELF: dict[str, Json] = {"type": "object"}
ITSELF["properties"] = {"again": ITSELF}


@for_each(
    ("schema", "value"),
    [
        ({}, "x 示例"),
        ({"type": "string"}, "x 示例"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "number"}, 1.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["integer", "null"]}, 1),
        ({"type": []}, "x 示例"),
        ({"type": "object"}, {}),
        ({"type": "array"}, []),
        ({"enum": ["c", "f"]}, "c"),
        ({"type": "string", "default": "d"}, "d"),
        ({"const": 3}, 3),
        ({"examples": ["e"]}, "e"),
        ({"type": "object", "properties": {"a": NESTED}}, {"a": {"b": [True]}}),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 1}),
    ],
)
def test_examples(schema: dict[str, Json], value: Json) -> None:
    """The value fits the schema; a value given in the schema is preferred."""
    assert example("x", schema) == value


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ('search {"limit": 3}', ("moon_search", '{"limit": 3}')),
        ('Please run: search{"a": {"b": "}"}} and say', ("moon_search", '{"a": {"b": "}"}}')),
        ('find {"x": 1} with show {}', ("show", "{}")),
        ('moon_search {"limit": 3}', ("moon_search", '{"limit": 3}')),
        ('arch {"limit": 3}', None),
        ("search {limit: 3}", None),
        ("search [3]", None),
        ("search", None),
    ],
)
def test_a_tool_that_is_named(asked: str, called: tuple[str, str] | None) -> None:
    """It is called with the JSON after its name; without either, the message is echoed."""
    tools: list[Json] = [{"type": "function", "function": {"name": name}} for name in ("moon_search", "show")]
    question: Json = {"role": "user", "content": asked}
    (choice,) = named_tool(chat_request({"messages": [question], "tools": tools}))
    assert [(call.name, call.arguments) for call in choice.message.tool_calls] == ([called] if called else [])
    assert choice.message.content == ("" if called else asked)
    (choice,) = named_tool(chat_request({"messages": [question, {"role": "tool", "content": "found"}], "tools": tools}))
    assert choice.message.content == "found"


def test_a_schema_inside_itself() -> None:
    """A recursive schema ends at some depth."""
    assert str(example("x", ITSELF)).count("again") == 8

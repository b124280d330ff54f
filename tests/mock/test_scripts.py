"""Values invented for the schemas of tools."""

import pytest

from moonpalace_cli.mock.chat_request import Json
from moonpalace_cli.mock.scripts import example

NESTED: Json = {"type": "object", "properties": {"b": {"type": "array", "items": {"type": "boolean"}}}}
ITSELF: dict[str, Json] = {"type": "object"}
ITSELF["properties"] = {"again": ITSELF}


@pytest.mark.parametrize(
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
    """The value fits the schema, and a value that the schema names is preferred."""
    assert example("x", schema) == value


def test_a_schema_inside_itself() -> None:
    """A schema that contains itself ends at some depth."""
    assert str(example("x", ITSELF)).count("again") == 8

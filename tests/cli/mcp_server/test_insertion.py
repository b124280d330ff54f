"""An entry is added to a configuration file, and every other byte stays."""

import json
import tomllib

import pytest

from moonpalace_cli.mcp_server.insertion import UnfitFileError, json_with, read_json, toml_with

ENTRY = {"command": "/usr/bin/mpal", "args": ["mcp", "--database", '/tmp/a b\\c"d/月.sqlite']}
KEYS = ("mcpServers", "moonpalace")

OBJECTS = (
    "{}",
    "{\n}\n",
    '{"mcpServers": {}}',
    '{"mcpServers":{"other":{"command":"x"}},"theme":"dark"}',
    '{\n  "theme": "dark",\n  "mcpServers": {\n    "other": {"command": "x", "args": []}\n  },\n  "n": 1.50e3\n}\n',
    '{\n\t"a": [{"mcpServers": {"b": 1}}, "}{"],\n\t"c": "\\u4e2d\\"{"\n}',
    '{\r\n    "theme": "dark"\r\n}\r\n',
    '{\n  // {\n  "theme": "dark", /* "mcpServers": {} */\n  "mcpServers": {\n    "other": {}, // last\n  },\n}\n',
)


@pytest.mark.parametrize("text", OBJECTS)
def test_json_keeps_its_bytes(text: str) -> None:
    """The entry is added, and removing it gives the original file."""
    new = json_with(text, KEYS, ENTRY)
    before, after = read_json(text), read_json(new)
    assert after["mcpServers"] == {"moonpalace": ENTRY, **before.get("mcpServers", {})}  # type: ignore[dict-item]
    assert {name: value for name, value in after.items() if name != "mcpServers"} == {
        name: value for name, value in before.items() if name != "mcpServers"
    }
    start = next(place for place, pair in enumerate(zip(text, new, strict=False)) if pair[0] != pair[1])
    rest = next(count for count in range(len(text) + 1) if new.endswith(text[count:]))
    assert rest <= start


def test_new_json_is_indented() -> None:
    """An empty file becomes an object with the entry; in an indented file, the entry is indented alike."""
    assert (
        json_with("", KEYS, {"command": "x"})
        == json.dumps({"mcpServers": {"moonpalace": {"command": "x"}}}, indent=2) + "\n"
    )
    assert json_with('{\n\t"a": 1\n}\n', KEYS, {"command": "x"}) == (
        '{\n\t"mcpServers": {\n\t\t"moonpalace": {\n\t\t\t"command": "x"\n\t\t}\n\t},\n\t"a": 1\n}\n'
    )


TABLES = ("", 'model = "k"\n', 'a = 1\n[mcp_servers.other]\ncommand = "x" # here', "[mcp_servers]\n[x]\ny = [1,\n2]\n")


@pytest.mark.parametrize("text", TABLES)
def test_toml_keeps_its_bytes(text: str) -> None:
    """The entry is a table at the end."""
    new = toml_with(text, ("mcp_servers", "moonpalace"), ENTRY)
    assert new.startswith(text)
    assert tomllib.loads(new)["mcp_servers"]["moonpalace"] == ENTRY


@pytest.mark.parametrize(
    ("add", "text", "message"),
    [
        (json_with, "[]", "not a JSON object"),
        (json_with, '{"a": 1', "not JSON"),
        (json_with, '{"a": 1} x "', "not JSON"),
        (json_with, '{"mcpServers": []}', "holds no object"),
        (json_with, '{"mcpServers": {}, "mcpServers": {"other": 1}}', "does not allow"),
        (toml_with, "a = ", "not TOML"),
        (toml_with, 'mcpServers = {other = {command = "x"}}', "not TOML"),
        (toml_with, "mcpServers = 1", "no object|not TOML"),
    ],
)
def test_what_cannot_be_read_is_left_alone(add: object, text: str, message: str) -> None:
    """A broken file, and one with something else in the entry's place, is refused."""
    with pytest.raises(UnfitFileError, match=message):
        add(text, KEYS, ENTRY)  # type: ignore[operator]

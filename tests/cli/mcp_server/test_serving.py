"""The server over standard input and output, with the official client; one process for all tests."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, TextIO, cast

import anyio
import pytest

from moonpalace_addons.store.database.opening import open_store
from moonpalace_cli.mcp_server.pages import BYTES_PER_TOKEN, MIN_TOKENS
from moonpalace_cli.mcp_server.quoting import MARK, RULE
from moonpalace_cli.mcp_server.tools import TOOLS
from tests.cli.conftest import RUN, Store
from tests.cli.mcp_server.conftest import body, completion

if TYPE_CHECKING:
    from mcp_types import CallToolResult, RequestParamsMeta

ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "search_calls": {"grep": "moon"},
    "show_call": {"call": 1},
    "read_conversation": {"call": 1, "max_tokens": 300},
    "read_part": {"call": 1, "part": "request_body"},
    "why": {"call": 1},
    "compare_calls": {"call": 1, "other": 2},
    "statistics": {},
    "cost": {},
    "cache": {},
    "my_session": {"call": 2},
    "label_call": {"call": 1, "category": "good"},
}
"""The arguments of one call for each tool."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> SimpleNamespace:
    """Return a client's view of a server in a locale without UTF-8."""
    file = tmp_path_factory.mktemp("mcp") / "moonpalace.sqlite"
    file.write_bytes(empty_store.read_bytes())
    engine = open_store(f"sqlite:///{file}")
    assert RUN
    store = Store(engine)
    store.add(request=body(("user", "the moon, 月亮 " * 1000)), response=completion("round"))
    store.add(request=body(("user", "again")), session="s-1")
    engine.dispose()
    namespace = SimpleNamespace(answers={})
    with (file.parent / "errors.txt").open("w") as errors:  # by default it is the stderr of when `mcp` was imported
        anyio.run(talk, file, empty_store, namespace, errors)
    return namespace


async def talk(file: Path, empty: Path, found: SimpleNamespace, errors: TextIO) -> None:
    """Call every tool once, read resources, make mistakes, and replace the store."""
    from mcp.client.client import Client  # takes a second, which nobody else waits for
    from mcp.client.stdio import StdioServerParameters, stdio_client
    from mcp.shared.exceptions import MCPError

    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "moonpalace_cli.main", "mcp", "--allow-label", "--database", str(file)],
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONPATH": ":".join(sys.path), "MOONPALACE_HOME": str(file.parent)},
    )
    with anyio.fail_after(60):
        async with Client(stdio_client(command, errlog=errors)) as client:
            said = cast("RequestParamsMeta", {"threadId": "s-1-unknown"})
            found.instructions = client.instructions
            found.tools = (await client.list_tools()).tools
            for name, arguments in ARGUMENTS.items():
                found.answers[name] = await client.call_tool(name, dict(arguments))
            found.refused = await client.call_tool("search_calls", {"predicate": "status_code >> 3"})
            found.unknown = await client.call_tool("drop_calls", {})
            found.by_client = await client.call_tool("my_session", {}, meta=said)
            found.resources = (await client.list_resources()).resources
            found.templates = (await client.list_resource_templates()).resource_templates
            found.resource = (await client.read_resource("moonpalace://calls/1")).contents[0]
            with pytest.raises(MCPError, match="there is no resource"):
                await client.read_resource("moonpalace://calls/x")
            found.long = await client.call_tool("show_call", {"call": "月" * 9000})
            delete(file)
            found.gone = await client.call_tool("show_call", {"call": 1})
            shutil.copy(empty, file)
            found.other = await client.call_tool("show_call", {"call": 1})


def delete(file: Path) -> None:
    """Delete a store with its log."""
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


def text_of(answer: CallToolResult) -> str:
    """Return the text of an answer."""
    (content,) = answer.content
    assert content.type == "text"
    return content.text


def test_the_client_lists_every_tool(seen: SimpleNamespace) -> None:
    """Tools have descriptions and schemas, and say which of them change something."""
    assert [tool.name for tool in seen.tools] == [tool.name for tool in TOOLS]
    assert [tool.name for tool in seen.tools if not tool.annotations.read_only_hint] == ["label_call"]
    assert all(tool.description and tool.input_schema["type"] == "object" for tool in seen.tools)
    assert RULE in seen.instructions


def test_the_client_calls_every_tool(seen: SimpleNamespace) -> None:
    """Each answers with text that states the rule for captured text, within its budget."""
    assert set(seen.answers) == {tool.name for tool in TOOLS}
    for name, answer in seen.answers.items():
        assert not answer.is_error, name
        assert text_of(answer).startswith("Labelled call 1." if name == "label_call" else RULE), name
    assert "月亮" in text_of(seen.answers["read_conversation"])
    assert len(text_of(seen.answers["read_conversation"]).encode()) <= 300 * BYTES_PER_TOKEN
    assert " · " in text_of(seen.answers["show_call"])


def test_mistakes_are_told(seen: SimpleNamespace) -> None:
    """A mistake in a predicate is shown with its position, an unknown tool with its name."""
    assert seen.refused.is_error
    assert text_of(seen.refused).startswith("Error: predicate: ")
    assert text_of(seen.refused).endswith("^")
    assert text_of(seen.unknown).startswith("Error: there is no tool 'drop_calls'")
    assert text_of(seen.by_client).startswith("Error: no recent answer has the mark")


def test_a_mistake_keeps_to_the_smallest_budget(seen: SimpleNamespace) -> None:
    """An error only repeats the beginning of an argument."""
    told = text_of(seen.long)
    assert seen.long.is_error
    assert told.startswith("Error: no stored call matches '月月")
    assert len(told.encode()) <= MIN_TOKENS * BYTES_PER_TOKEN
    assert told.endswith("…")


def test_a_store_that_vanishes(seen: SimpleNamespace) -> None:
    """A store that is deleted while the server runs is reported as missing, and a new one is read."""
    assert text_of(seen.gone).startswith("Error: there is no database at ")
    assert text_of(seen.other).startswith("Error: no stored call has id 1")


def test_calls_are_resources(seen: SimpleNamespace) -> None:
    """The newest calls are listed, and each can be read, quoted like by the tools."""
    assert [resource.uri for resource in seen.resources] == ["moonpalace://calls/2", "moonpalace://calls/1"]
    assert [template.uri_template for template in seen.templates] == ["moonpalace://calls/{id}"]
    lines = seen.resource.text.split("\n")
    assert lines[0] == RULE
    assert f"{MARK}round" in lines or "There is more" in lines[-1]


def test_arguments_are_those_of_the_tools() -> None:
    """The arguments in this test can be sent as JSON."""
    assert json.loads(json.dumps(ARGUMENTS))

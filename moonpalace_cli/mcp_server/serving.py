"""Serve the tools over standard input and output, with the official SDK; nothing else imports it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.version import __version__
from moonpalace_cli.flags.lookup import reporting_refusals
from moonpalace_cli.mcp_server import resources, tools
from moonpalace_cli.mcp_server.pages import BYTES_PER_TOKEN, MIN_TOKENS
from moonpalace_cli.mcp_server.quoting import RULE
from moonpalace_cli.mcp_server.reading import Options, Reader
from moonpalace_cli.web.time_limit import TOO_SLOW, is_out_of_time

INSTRUCTIONS = (
    "MoonPalace is a debugging proxy that stores every call to an LLM API. These tools read its store: search calls, "
    "see why one failed or was slow, what was asked and answered, tokens, cost and caching. Answers keep to "
    f"max_tokens; where there is more, the last line says how to get it. {RULE}"
)
MAX_ERROR = MIN_TOKENS * BYTES_PER_TOKEN
"""Maximum bytes of an error."""
MIME = "text/plain"


def serve(options: Options) -> None:
    """Serve until the client closes standard input."""
    # Tables and screens depend on it, and clients start this process in any locale.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    reader = Reader(options)
    try:
        anyio.run(partial(run, reader))
    finally:
        reader.close()


async def run(reader: Reader) -> None:
    """Answer the requests of one client."""
    server = make_server(reader)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def make_server(reader: Reader) -> Server[Any]:
    """Return the server for a store."""
    one_at_a_time = anyio.CapacityLimiter(1)  # this bounds the memory; a client waits for its answers anyway

    async def reported[T](work: Callable[[], T]) -> T:
        def now() -> T:
            reader.follow()
            return work()

        return await anyio.to_thread.run_sync(partial(checked, now), limiter=one_at_a_time, abandon_on_cancel=True)

    async def list_tools(_: object, __: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[described(tool) for tool in tools.tools(reader.options)])

    async def call_tool(_: object, parameters: types.CallToolRequestParams) -> types.CallToolResult:
        meta = parameters.meta
        try:
            text = await reported(lambda: tools.answer(reader, parameters.name, parameters.arguments or {}, meta))
        except MoonPalaceError as error:
            return result(told_error(error), is_error=True)
        return result(text)

    async def list_resources(_: object, __: object) -> types.ListResourcesResult:
        calls = await reported(lambda: resources.listed(reader))
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=f"{resources.PREFIX}{number}", name=f"call {number}", description=began, mime_type=MIME
                )
                for number, began in calls
            ]
        )

    async def list_templates(_: object, __: object) -> types.ListResourceTemplatesResult:
        one = types.ResourceTemplate(
            uri_template=resources.TEMPLATE, name="call", description="A stored call by its number.", mime_type=MIME
        )
        return types.ListResourceTemplatesResult(resource_templates=[one])

    async def read_resource(_: object, parameters: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            text = await reported(lambda: resources.read(reader, str(parameters.uri)))
        except MoonPalaceError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=parameters.uri, text=text, mime_type=MIME)]
        )

    return Server(
        "moonpalace",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


def checked[T](work: Callable[[], T]) -> T:
    """Call `work`; raise MoonPalaceError with one line for any exception."""
    try:
        with reporting_refusals():
            return work()
    except MoonPalaceError as error:
        if is_out_of_time(getattr(error.__cause__, "orig", None) or error):
            raise MoonPalaceError(TOO_SLOW) from error
        raise
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise MoonPalaceError(f"unexpected {words[:300]}") from error


def told_error(error: MoonPalaceError) -> str:
    """Return an error for the client, cut to the smallest budget because it may repeat an argument."""
    message = "\n".join(filter(None, [f"Error: {error}", error.detail])).encode("utf-8", "replace")
    if len(message) > MAX_ERROR:
        message = f"Error: {error}".encode("utf-8", "replace")
    cut = message[: MAX_ERROR - 3].decode(errors="ignore") + "…"
    return message.decode() if len(message) <= MAX_ERROR else cut


def described(tool: tools.Tool) -> types.Tool:
    """Return a tool in the form that clients expect."""
    hints = types.ToolAnnotations(
        read_only_hint=not tool.changes, destructive_hint=tool.changes, idempotent_hint=True, open_world_hint=False
    )
    return types.Tool(name=tool.name, description=tool.help, input_schema=tool.schema, annotations=hints)


def result(text: str, *, is_error: bool = False) -> types.CallToolResult:
    """Return the text as the result of a tool."""
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=is_error)

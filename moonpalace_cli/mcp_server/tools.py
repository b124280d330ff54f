"""The tools that a client can call: name, description, parameters and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.wire.suggestions import did_you_mean
from moonpalace_cli.mcp_server import labelling, looking, own_session, searching, summing
from moonpalace_cli.mcp_server.arguments import CALL, FILTERING, PAGING, Parameter, checked
from moonpalace_cli.mcp_server.reading import Options, Reader

type Run = Callable[[Reader, Mapping[str, object]], str]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool; `run` returns the text of the answer, within its budget."""

    name: str
    help: str
    parameters: Sequence[Parameter]
    run: Run
    changes: bool = False

    @property
    def schema(self) -> dict[str, object]:
        """Return the JSON Schema of its arguments."""
        return {
            "type": "object",
            "properties": {each.name: each.schema for each in self.parameters},
            "required": [each.name for each in self.parameters if each.required],
            "additionalProperties": False,
        }


TOOLS = (
    Tool(
        "search_calls",
        "List stored calls that match all the given filters, one line each, the newest first: time, number, model, how "
        "the call ended, prompt→completion tokens, times, and the user's last words.",
        (*searching.PARAMETERS, *FILTERING, *PAGING),
        searching.search,
    ),
    Tool(
        "show_call",
        "Show what matters of a call: how it ended and why, what was asked and answered in short, tokens, cost, times.",
        (CALL, *PAGING),
        looking.show,
    ),
    Tool(
        "read_conversation",
        "Read the messages of a call and its answer in full, message by message: texts, reasoning, calls of tools.",
        (CALL, looking.START, *PAGING),
        looking.conversation,
    ),
    Tool(
        "read_part",
        "Read one part of a call as it was sent: headers, bodies, the events of a stream, metadata, the error.",
        (CALL, looking.PART, *PAGING),
        looking.part,
    ),
    Tool(
        "why",
        "Say why a call was cut off, slow, refused or repeated itself: what is stored of it, and what to do.",
        (CALL, *PAGING),
        looking.why,
    ),
    Tool(
        "compare_calls",
        "Compare two calls: the fields in which they differ, where their prompts part, where their answers part.",
        (CALL, looking.OTHER, *PAGING),
        looking.compare,
    ),
    Tool(
        "statistics",
        "Add up the calls that match the filters by model: counts, errors, tokens, and percentiles of times.",
        (*FILTERING, *PAGING),
        summing.statistics,
    ),
    Tool(
        "cost",
        "Add up what the calls that match the filters cost, and what the cache saved.",
        (summing.BY, *FILTERING, *PAGING),
        summing.cost,
    ),
    Tool(
        "cache",
        "Say why the prompt of a call was cached or not; without a call, rank the cache misses among the newest calls "
        "that match the filters.",
        (summing.CALL, summing.LAST, *FILTERING, *PAGING),
        summing.cache,
    ),
    Tool(
        "my_session",
        "List the calls of your own session, if your requests pass through MoonPalace. Give a mark: a word that you "
        "make up now, such as three random words joined by hyphens. The call whose answer has it is yours.",
        (*own_session.PARAMETERS, *PAGING),
        own_session.session,
    ),
    Tool(
        "label_call",
        "Set labels of a call: good or bad case, tags, a note.",
        (CALL, *labelling.PARAMETERS),
        labelling.label,
        changes=True,
    ),
)


def tools(options: Options) -> Sequence[Tool]:
    """Return the tools of a server with these options."""
    return [tool for tool in TOOLS if options.allow_label or not tool.changes]


def answer(reader: Reader, name: str, arguments: Mapping[str, object], metadata: object = None) -> str:
    """Return the answer of a tool; raise MoonPalaceError for invalid arguments.

    `metadata` is what the client sends besides the arguments.
    """
    tools_by_name = {tool.name: tool for tool in tools(reader.options)}
    if name not in tools_by_name:
        raise MoonPalaceError(
            f"there is no tool {name[:100]!r}; {did_you_mean(name, tools_by_name) or ', '.join(tools_by_name)}"
        )
    checked_arguments = checked(tools_by_name[name].parameters, arguments)
    return tools_by_name[name].run(reader, {**checked_arguments, own_session.SENT_BY_CLIENT: metadata})

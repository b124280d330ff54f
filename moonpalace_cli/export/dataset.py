"""A line of chat data for fine-tuning and evaluation: the messages including the answer, and the tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moonpalace_addons.store.state import State
from moonpalace_cli.export.chat import Members, answered_message, request_members
from moonpalace_cli.export.json_document import one_line
from moonpalace_cli.export.unfit import UnfitError

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call

ASIDE = ("tools", "parallel_tool_calls")
"""Members of the request that are included besides the messages."""


def line(call: Call, _: str = "") -> str:
    """Return the line; raise UnfitError for other calls and for those without a complete answer."""
    request = request_members(call)
    status = call.exchange.status_code
    if call.exchange.state is not State.COMPLETED:
        raise UnfitError("has no complete answer")
    if status is None or not 200 <= status < 300:
        raise UnfitError("was answered with an error")
    message = answered_message(call)
    if message is None:
        raise UnfitError("was answered without a message")
    data: Members = {"messages": [*_list(request["messages"]), answer(message)]}
    return one_line(data | {name: request[name] for name in ASIDE if request.get(name)})


def answer(message: Members) -> Members:
    """Return the answer as a message of a request: with its role, without empty members."""
    members = {name: value for name, value in message.items() if value is not None and value != []}
    return {"role": "assistant", **members}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []

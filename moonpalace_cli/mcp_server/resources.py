"""Calls as resources, which the user of a client can add to a conversation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.mcp_server.looking import messages, screen
from moonpalace_cli.mcp_server.pages import DEFAULT_TOKENS, page

if TYPE_CHECKING:
    from moonpalace_cli.mcp_server.reading import Reader

PREFIX = "moonpalace://calls/"
TEMPLATE = PREFIX + "{id}"
URI = re.compile(re.escape(PREFIX) + r"([0-9]{1,18})")
LISTED = 20
"""Newest calls that are listed; others can be read as well."""


def listed(reader: Reader) -> list[tuple[int, str]]:
    """Return the numbers of the newest calls, with the time at which each began."""
    from moonpalace_addons.store.records import exchanges
    from moonpalace_cli.calls.presentation import local_time

    return [(row.id, local_time(row.started_at)) for row in exchanges.latest(reader.engine, limit=LISTED)]


def read(reader: Reader, uri: str) -> str:
    """Return a call on one screen and as much of its conversation as fits into the default budget."""
    match = URI.fullmatch(uri)
    if match is None:
        raise MoonPalaceError(f"there is no resource {uri[:100]!r}: write {TEMPLATE}")
    lines = [*screen(reader, match[1]), "", *messages(reader, match[1])[0]]
    return page(lines, DEFAULT_TOKENS, None, rest=": the tool read_conversation reads it.")

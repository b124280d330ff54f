"""Format a call as HTTP/1.1: first line, headers, a blank line, the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import url
from moonpalace_addons.store.read.header_text import header_lines
from moonpalace_addons.wire.json_text import Verbatim, reindent
from moonpalace_addons.wire.status import status_line
from moonpalace_cli.calls.content import Content, answer, read

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange


def request_message(exchange: Exchange, bodies: Bodies) -> str | bytes:
    """Return the request; bytes where its body is not text."""
    return message(f"{exchange.method} {url(exchange)} HTTP/1.1", exchange.request_headers, read(bodies.request))


def response_message(exchange: Exchange, bodies: Bodies, *, merged: bool) -> str | bytes:
    """Return the response, for a stream with its raw events or with the `merged` completion; bytes if not text."""
    first_line = f"HTTP/1.1 {status_line(exchange.status_code)}".rstrip()
    return message(first_line, exchange.response_headers or "", answer(exchange, bodies).shown(merged=merged))


def message(first_line: str, headers: str, content: Content) -> str | bytes:
    """Return the message with plain line ends; JSON is indented, other bodies are unchanged."""
    head = "\n".join([first_line, *header_lines(headers), "", ""])
    if isinstance(content, bytes):
        return head.encode() + content
    if isinstance(content, Verbatim):
        return head + reindent(content.text) + "\n"
    return head + content + ("" if content.endswith("\n") or not content else "\n")

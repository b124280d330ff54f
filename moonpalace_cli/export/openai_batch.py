"""A line of an input file for the batch API: a request to be repeated with many others.

The API requires one model per file, and no streams: `stream` and `stream_options` are removed from the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moonpalace_cli.export.chat import request_members
from moonpalace_cli.export.json_document import one_line

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call

URL = "/v1/chat/completions"
ONLY_STREAMS = ("stream", "stream_options")


def line(call: Call, _: str = "") -> str:
    """Return the line; raise UnfitError for a call that is not a chat completion."""
    body = {name: value for name, value in request_members(call).items() if name not in ONLY_STREAMS}
    return one_line({"custom_id": f"moonpalace-{call.exchange.id}", "method": "POST", "url": URL, "body": body})

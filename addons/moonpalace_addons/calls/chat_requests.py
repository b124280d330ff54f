"""Detection of chat completions that addons may edit."""

from mitmproxy.http import HTTPFlow

from moonpalace_addons.mitm.headers import media_type

CHAT = "/chat/completions"
"""Suffix of the path, whatever its prefix."""


def is_plain_chat(flow: HTTPFlow) -> bool:
    """Tell whether a request is a chat completion with a JSON body without content encoding."""
    request = flow.request
    return (
        request.method == "POST"
        and request.path.partition("?")[0].endswith(CHAT)
        and media_type(request.headers.get("content-type")) in (None, "application/json")
        and request.headers.get("content-encoding", "identity").lower() in ("", "identity")
    )

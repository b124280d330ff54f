"""Which requests are chat completions that addons may change."""

from mitmproxy.http import HTTPFlow

from moonpalace_addons.mitm.headers import media_type

CHAT = "/chat/completions"
"""How the path ends, whatever stands before it."""


def is_plain_chat(flow: HTTPFlow) -> bool:
    """Tell whether a request is a chat completion whose body is JSON and not encoded."""
    request = flow.request
    return (
        request.method == "POST"
        and request.path.partition("?")[0].endswith(CHAT)
        and media_type(request.headers.get("content-type")) in (None, "application/json")
        and request.headers.get("content-encoding", "identity").lower() in ("", "identity")
    )

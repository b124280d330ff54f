"""Detection of requests whose body addons may edit."""

from mitmproxy.http import HTTPFlow

from moonpalace_addons.mitm.headers import media_type


def has_plain_body(flow: HTTPFlow) -> bool:
    """Tell whether a request has a JSON body without content encoding."""
    request = flow.request
    return (
        request.method == "POST"
        and media_type(request.headers.get("content-type")) in (None, "application/json")
        and request.headers.get("content-encoding", "identity").lower() in ("", "identity")
    )

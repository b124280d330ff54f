"""Refuse requests with too large a body.

Our engine reads a body without a length only up to the limit, and answers at once. mitmproxy's own server reads the
whole body first.
"""

from mitmproxy.http import Response

from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import REQUEST_TOO_LARGE
from moonpalace_addons.wire.faces.table import error_body


def declared_length(call: Call) -> int:
    """Return the Content-Length of a request, or 0."""
    length = call.named.get(b"content-length", b"").strip()
    return int(length) if length.isdigit() and len(length) <= 18 else 0


def refuse_larger(call: Call, size: int, limit: int) -> bool:
    """Answer 413 to a request that exceeds the limit; tell whether it does."""
    if size <= limit:
        return False
    message = too_large(limit)
    call.given_up = REQUEST_TOO_LARGE, message
    body = error_body(message, REQUEST_TOO_LARGE.kind, call.flow.request.path)
    call.flow.response = Response.make(413, body, {"Content-Type": "application/json"})
    return True


def too_large(limit: int) -> str:
    """Return the error message for the client and the row."""
    return f"the request's body has more than {limit} bytes (setting max-body)"

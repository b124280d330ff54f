"""What mitmproxy's headers say, and headers for answers that are edited."""

from mitmproxy.http import HTTPFlow, Request

_FRAMING = (b"content-length", b"content-encoding", b"transfer-encoding")


def media_type(content_type: str | None) -> str | None:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower() if content_type else None


def set_host(request: Request, host: bytes) -> None:
    """Set `host_header`, whose own way takes three times as long for HTTP/1."""
    if request.data.http_version.startswith(b"HTTP/1"):
        request.headers["Host"] = host
    else:
        request.host_header = host


def set_headers(flow: HTTPFlow, *, coerce: bool) -> None:
    """Update the headers of an answer whose length and encoding we determine."""
    if flow.response is None:
        return
    headers = flow.response.headers
    fields = [field for field in headers.fields if field[0].lower() not in _FRAMING]
    versions = {flow.request.http_version, flow.response.http_version}
    if versions == {"HTTP/1.1"}:
        fields.append((b"Transfer-Encoding", b"chunked"))
    headers.fields = tuple(fields)
    if "HTTP/1.0" in versions:
        headers["Connection"] = "close"  # no chunked coding: the end of the connection ends the answer
    if coerce:
        headers["Content-Type"] = "application/json; charset=utf-8"


def has_plain_body(flow: HTTPFlow) -> bool:
    """Tell whether a request has a JSON body without content encoding."""
    request = flow.request
    return (
        request.method == "POST"
        and media_type(request.headers.get("content-type")) in (None, "application/json")
        and request.headers.get("content-encoding", "identity").lower() in ("", "identity")
    )

"""Conversions of mitmproxy's headers."""

from mitmproxy.http import Headers, HTTPFlow

_FRAMING = (b"content-length", b"content-encoding", b"transfer-encoding")


def pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return names and values in their original order and case; bytes that are not UTF-8 become U+FFFD."""
    return [(name.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for name, value in headers.fields]


def by_name(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Return values by their names in lower case; values of the same name are joined as HTTP specifies.

    It costs less than a single lookup in mitmproxy's headers.
    """
    named: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        named[key] = f"{named[key]}, {value}" if key in named else value
    return named


def as_text(headers: list[tuple[str, str]]) -> str:
    r"""Return headers as they are stored: `Name: value\r\n` lines."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers])


def media_type(content_type: str | None) -> str | None:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower() if content_type else None


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

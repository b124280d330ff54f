"""Read mitmproxy's headers."""

from mitmproxy.http import Headers


def pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return names and values in their order and case; bytes that are not UTF-8 become U+FFFD."""
    return [(name.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for name, value in headers.fields]


def as_text(headers: list[tuple[str, str]]) -> str:
    r"""Return headers as they are stored: `Name: value\r\n` lines."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def media_type(content_type: str | None) -> str | None:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower() if content_type else None

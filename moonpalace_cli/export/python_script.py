"""A Python script that repeats a stored request with the standard library alone."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from moonpalace_addons.store.fields import url
from moonpalace_cli.export.curl import LEFT_OUT, headers_of, key_header

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call

MAX_LITERAL_LENGTH = 1000
"""Maximum characters of a line of the body; editors are slow with lines of a megabyte."""
ALWAYS_WITH_LENGTH = ("POST", "PUT", "PATCH")
SEND = """\
response = connection.getresponse()
print(response.status, response.reason, file=sys.stderr)
while piece := response.read1():  # as it comes, also a stream
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()"""


def script(call: Call, _: str = "") -> str:
    """Return a script that sends the request with the key in `MOONSHOT_API_KEY` and prints the answer."""
    exchange, body = call.exchange, call.bodies.request or b""
    address = urlsplit(exchange.endpoint)
    kind = "HTTPSConnection" if address.scheme == "https" else "HTTPConnection"
    target = quote(url(exchange).removeprefix(exchange.endpoint.rstrip("/")), safe="".join(map(chr, range(0x21, 0x7F))))
    headers = [header for header in headers_of(exchange) if header[0].lower() not in LEFT_OUT]
    name, scheme = key_header(exchange)
    key = f'"{scheme}" + os.environ["MOONSHOT_API_KEY"]' if scheme else 'os.environ["MOONSHOT_API_KEY"]'
    has_body = bool(body) or exchange.method in ALWAYS_WITH_LENGTH
    lines = [
        f"# Call {exchange.id}: {exchange.method} {ascii(url(exchange))[1:-1]}",
        *(["import base64"] if body and not is_text(body) else []),
        "import http.client",
        "import os",
        "import sys",
        "",
        *([f"BODY = {literal(body)}", ""] if body else []),
        f"connection = http.client.{kind}({address.netloc!r})",
        f"connection.putrequest({exchange.method!r}, {target!r}, skip_accept_encoding=True)",
        f'connection.putheader("{name}", {key})',
        *(f"connection.putheader({name!r}, {header_value(value)})" for name, value in headers),
        *([f'connection.putheader("Content-Length", {"len(BODY)" if body else "0"})'] if has_body else []),
        f"connection.endheaders({'BODY' if body else ''})",
        "",
        SEND,
    ]
    return "\n".join(lines)


def header_value(value: str) -> str:
    """Return a header's value as Python; non-ASCII characters are sent as UTF-8, as stored."""
    return repr(value) if value.isascii() else f"{value!r}.encode()"


def is_text(body: bytes) -> bool:
    """Return whether the body is UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def literal(body: bytes) -> str:
    """Return the bytes of a body as Python: readable if they are text, else base64."""
    if not is_text(body):
        return f'base64.b64decode("""\n{base64.encodebytes(body).decode()}""")'
    pieces = [
        repr(line[start : start + MAX_LITERAL_LENGTH])
        for line in body.decode().splitlines(keepends=True)
        for start in range(0, len(line), MAX_LITERAL_LENGTH)
    ]
    if len(pieces) == 1:
        return f"{pieces[0]}.encode()"
    return "(\n" + "".join(f"    {piece}\n" for piece in pieces) + ").encode()"

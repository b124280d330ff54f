"""An HTTPie command that repeats a stored request (HTTPie 3 or later)."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import url
from moonpalace_cli.export.curl import LEFT_OUT, has_data, headers_of, is_argument, join, key_header, quote

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call

# `Name:=…` and `Name:@…` are not headers for HTTPie; a backslash escapes the value.
SPECIAL = re.compile(r"^[=@:;]")


def command(call: Call, encoding: str = "utf-8") -> str:
    """Return a command for sh that sends the request with the caller's `$MOONSHOT_API_KEY`.

    `encoding` is that of the terminal it is copied from: a body that it cannot show goes through base64.
    """
    exchange, body = call.exchange, call.bodies.request or b""
    first = f"http --body --stream --ignore-stdin {quote(exchange.method)} {quote(url(exchange))}"
    name, scheme = key_header(exchange)
    options = [f'{name}:"{scheme}$MOONSHOT_API_KEY"']
    options += [header(*pair) for pair in headers_of(exchange) if pair[0].lower() not in LEFT_OUT]
    names = {name.lower() for name, _ in headers_of(exchange)} - LEFT_OUT
    # An empty value keeps HTTPie from sending its own.
    options += [f"{name}:" for name in ("User-Agent", "Accept", "Accept-Encoding") if name.lower() not in names]
    options += ["--path-as-is"] if "/." in exchange.path else []
    if not has_data(exchange, body) or not body:
        return join(first, options)
    if is_argument(body, encoding):
        return join(first, [*options, f"--raw {quote(body.decode())}"])
    piped = first.replace(" --ignore-stdin", "")
    return f"base64 -d <<'EOF' | {join(piped, options)}\n{base64.encodebytes(body).decode()}EOF"


def header(name: str, value: str) -> str:
    """Return the argument for a header."""
    return quote(f"{name}:{SPECIAL.sub(lambda match: chr(92) + match[0], value)}" if value else f"{name};")

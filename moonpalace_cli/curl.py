"""Write the curl command that sends a stored request again."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from moonpalace_cli.http_text import header_lines
from moonpalace_cli.output import CONTROL
from moonpalace_cli.presentation import url

if TYPE_CHECKING:
    from moonpalace_addons.store.records import Exchange

LEFT_OUT = {
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",  # the stored body is decoded
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
}
ARGUMENT_LIMIT = 100_000
"""Bytes of a body that may stand on the command line: Linux refuses single arguments of 128 KiB."""


def command(exchange: Exchange, body: bytes, *, encoding: str = "utf-8") -> str:
    """Return a command for sh that sends the request with the caller's `$MOONSHOT_API_KEY`.

    `encoding` is that of the terminal it is copied from: a body that it cannot show goes through base64.
    """
    head = "curl --head" if exchange.method == "HEAD" else f"curl -X {quote(exchange.method)}"
    options = ['-H "Authorization: Bearer $MOONSHOT_API_KEY"', *header_options(exchange, has_body=bool(body))]
    address = url(exchange)
    options += ["--globoff"] if set(address) & set("[]{}") else []
    options += ["--path-as-is"] if "/." in exchange.path else []
    if is_argument(body, encoding):
        options += [f"--data-raw {quote(body.decode())}"] if body or exchange.method in ("POST", "PUT", "PATCH") else []
        return join(f"{head} {quote(address)}", options)
    options += ["--data-binary @-"]
    encoded = base64.encodebytes(body).decode()
    return f"{join(f"base64 -d <<'EOF' | {head} {quote(address)}", options)}\n{encoded}EOF"


def header_options(exchange: Exchange, *, has_body: bool) -> list[str]:
    """Return the options for the client's headers, and against those that curl would add by itself."""
    headers = [line.partition(":")[::2] for line in header_lines(exchange.request_headers)]
    names = {name.lower() for name, _ in headers}
    options = []
    for name, value in headers:
        if name.lower() not in LEFT_OUT:
            # curl takes "Name:" for "leave it out" and "Name;" for an empty one.
            options.append(f"-H {quote(f'{name}: {value.strip()}' if value.strip() else f'{name};')}")
    added = ["User-Agent", "Accept", *(["Content-Type", "Expect"] if has_body else [])]
    options += [f"-H {quote(name + ':')}" for name in added if name.lower() not in names and name != "Expect"]
    if accepts_encodings(headers):
        options.append("--compressed")
    return options


def accepts_encodings(headers: list[tuple[str, str]]) -> bool:
    """Tell whether the client took compressed answers."""
    values = ",".join(value for name, value in headers if name.lower() == "accept-encoding")
    return any(part.partition(";")[0].strip() not in ("", "identity") for part in values.split(","))


def is_argument(body: bytes, encoding: str) -> bool:
    """Tell whether the body can be an argument on a command line in this encoding."""
    if len(body) > ARGUMENT_LIMIT:
        return False
    try:
        text = body.decode()
        text.encode(encoding)
    except UnicodeError:
        return False
    return not CONTROL.search(text)


def quote(text: str) -> str:
    """Return the text in single quotes for sh."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def join(first: str, options: list[str]) -> str:
    """Return one command over several lines."""
    return " \\\n\t".join([first, *options])

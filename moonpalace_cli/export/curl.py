"""Write a curl command that repeats a stored request."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import url
from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.wire.escaping import CONTROL
from moonpalace_addons.wire.secrets.masking import MASK, is_masked

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

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
KEY_HEADERS = ("authorization", "x-api-key", "api-key")
"""Headers in which clients send their key; the first one counts, as it does for the API."""
ARGUMENT_LIMIT = 100_000
"""Maximum bytes of a body on the command line: Linux rejects single arguments of 128 KiB."""


def command(exchange: Exchange, body: bytes, *, encoding: str = "utf-8") -> str:
    """Return a command for sh that sends the request with the caller's `$MOONSHOT_API_KEY`.

    `encoding` is that of the terminal it is copied from: a body that it cannot represent goes through base64.
    """
    with_data = has_data(exchange, body)
    head = "curl --head" if exchange.method == "HEAD" else f"curl -X {quote(exchange.method)}"
    first = f"{head} {quote(url(exchange))}"
    options = [f'-H "{": ".join(key_header(exchange))}$MOONSHOT_API_KEY"', *header_options(exchange)]
    options += [f"-H {quote(name + ':')}" for name in added_by_curl(exchange, body, has_data=with_data)]
    options += ["--globoff"] if set(url(exchange)) & set("[]{}") else []
    options += ["--path-as-is"] if "/." in exchange.path else []
    if not with_data:
        return join(first, options)
    if is_argument(body, encoding):
        return join(first, [*options, f"--data-raw {quote(body.decode())}"])
    piped = join(f"base64 -d <<'EOF' | {first}", [*options, "--data-binary @-"])
    return f"{piped}\n{base64.encodebytes(body).decode()}EOF"


def header_options(exchange: Exchange) -> list[str]:
    """Return the options for the client's headers."""
    options = []
    for name, value in headers_of(exchange):
        if name.lower() not in LEFT_OUT:
            # "Name:" makes curl omit a header, "Name;" sends it empty.
            options.append(f"-H {quote(f'{name}: {value}' if value else f'{name};')}")
    if accepts_encodings(exchange):
        options.append("--compressed")
    return options


def added_by_curl(exchange: Exchange, body: bytes, *, has_data: bool) -> list[str]:
    """Return options that remove headers which curl adds and the client did not send."""
    added = ["User-Agent", "Accept"]
    if has_data:
        added.append("Content-Type")
    if len(body) > ARGUMENT_LIMIT:
        added.append("Expect")
    names = {name.lower() for name, _ in headers_of(exchange)} - LEFT_OUT
    return [name for name in added if name.lower() not in names]


def has_data(exchange: Exchange, body: bytes) -> bool:
    """Return whether the request has a body, even an empty one."""
    return exchange.method != "HEAD" and (bool(body) or exchange.method in ("POST", "PUT", "PATCH"))


def key_header(exchange: Exchange) -> tuple[str, str]:
    """Return the name of the header in which the client sent its key, and the text before the key."""
    masked = {
        name.lower(): (name, value) for name, value in header_pairs(exchange.request_headers) if is_masked(name, value)
    }
    name, value = next((masked[known] for known in KEY_HEADERS if known in masked), ("Authorization", "Bearer "))
    return name, value.removesuffix(MASK)


def headers_of(exchange: Exchange) -> list[tuple[str, str]]:
    """Return the client's headers, except those whose values were masked."""
    return [pair for pair in header_pairs(exchange.request_headers) if not is_masked(*pair)]


def accepts_encodings(exchange: Exchange) -> bool:
    """Return whether the client accepted compressed answers."""
    values = ",".join(value for name, value in headers_of(exchange) if name.lower() == "accept-encoding")
    return any(part.partition(";")[0].strip() not in ("", "identity") for part in values.split(","))


def is_argument(body: bytes, encoding: str) -> bool:
    """Return whether the body can be an argument on a command line in this encoding."""
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

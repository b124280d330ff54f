"""Mask secrets in everything that is stored, logged or exported: headers, addresses and short texts.

A secret is recognized by its name (`names`), by its issuer's format (`patterns`), or as a credential of the same call
(`values`). What is masked keeps its name, so that a reader sees that it was there. Bodies are handled by `bodies`,
streams by `streams`: their masks are as long as what they hide.

A stored call tells keys apart by a fingerprint that cannot be reversed, nor compared between stores.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import unquote, unquote_plus

from moonpalace_addons.wire.secrets import patterns
from moonpalace_addons.wire.secrets.names import is_secret
from moonpalace_addons.wire.secrets.values import Span, known

MIN_LENGTH = 8
"""Minimum characters of a credential that is masked everywhere: a shorter one is too likely to be a word."""
MASK = "***"

_BEARER = re.compile(r"(?:bearer\s+)+", re.IGNORECASE)
_SCHEME = re.compile(r"(bearer|basic|digest|negotiate|token)[ \t]+(?=[^ \t])", re.IGNORECASE)
"""The part of the value that may be kept: users look for the kind of credential (RFC 9110, section 11.4)."""
# A parameter of an address, of a cookie or of a challenge, anywhere in a header's value.
_PARAMETER = re.compile(r"((?:^|[?&;,#\s])([\w.%~-]{1,100})=)(\"[^\"]*\"|[^&;,#\s\"'<>]*)")
# A name may follow a ";" too, but a value reaches to the next "&": the URL standard knows no other separator.
_PARAMETER_NAME = re.compile(r"(?:^|;)([^;=]*)=")
_MEMBER = re.compile(r'"([^"\\]{1,100})"\s*:\s*"((?:[^"\\]|\\.)+)"')
_PROTOCOL = "sec-websocket-protocol"
_ENDPOINT = re.compile(
    r"/(?:[\w.-]{1,20}/){0,3}(?:chat/completions|completions|embeddings|messages|responses|models)(?:/|$)"
)
_BARE_KEY = re.compile(r"[A-Za-z0-9._~-]{20,}")
_ADDRESS = ("/", "http:", "https:", "ws:", "wss:")
"""Prefixes of header values that are addresses: `Location`, `Referer`, `X-Original-URL`."""
_FOLDED = re.compile(r"\s*\r?\n[ \t]+")
_LISTS = frozenset({"keys", "tokens"})
_MAX_CACHED_LENGTH = 300


def credentials(headers: Iterable[tuple[str, str]], path: str = "", query: str = "") -> tuple[bytes, ...]:
    """Return the secret values in headers and an address, longest first, without duplicates or those under 8 bytes.

    For `Bearer X` that is X; for `Basic X` it is X and its password (if that is empty, the user name); for another
    scheme the rest of the value; the value of a key header; the value of each cookie, without quotes; the values of
    parameters named like credentials, also percent-encoded.
    """
    secrets = {value for header in headers for value in _secret_values(*header)}
    if query:
        secrets |= {value for parameter in query.split("&") for value in _parameter_values(parameter)}
    secrets |= {path[start:end] for start, end in _path_spans(path)}
    values = {value.encode("utf-8", "surrogateescape") for value in secrets}
    return tuple(
        sorted((value for value in values if len(value) >= MIN_LENGTH), key=lambda value: (-len(value), value))
    )


def mask_known(text: str, secrets: Sequence[bytes]) -> str:
    """Replace the credentials and parts of them by as many `*` as they have characters."""
    if not secrets:
        return text
    for secret in secrets:
        if not secret.isascii():
            word = secret.decode("utf-8", "surrogateescape")
            text = text.replace(word, "*" * len(word))
    data, finder = _as_bytes(text), known(tuple(secrets))
    return _overwritten(text, finder.spans(data)) if finder.touches(data) else text


def mask_formed(text: str) -> str:
    """Replace text in the form of a credential by as many `*` as it has characters."""
    return _overwritten(text, ((found.start, found.end) for found in patterns.find_in(_as_bytes(text))))


def overwrite(data: bytes, spans: Iterable[Span]) -> bytes:
    """Return the data with these spans replaced by `*`; the same object if there are none."""
    masked: bytearray | None = None
    for start, end in spans:
        if masked is None:
            masked = bytearray(data)
        masked[start:end] = b"*" * (end - start)
    return data if masked is None else bytes(masked)


def mask_header_text(text: str) -> tuple[str, list[bytes]]:
    """Return the header text with credentials masked, and the credentials found in it.

    Credentials that are known from elsewhere are not masked here.
    """
    if "\n " in text or "\n\t" in text:  # obsolete line folding, which mitmproxy accepts
        text = _FOLDED.sub(" ", text)
    # Clients send most headers with every call.
    lines = [
        _cached_line(line) if len(line) < _MAX_CACHED_LENGTH else _masked_line(line) for line in text.split("\r\n")
    ]
    return "\r\n".join([line for line, _ in lines]), [secret for _, found in lines if found for secret in found]


def mask_value(name: str, value: str) -> str:
    """Return the part of a header's value that may be kept."""
    name = name.strip().lower()
    if name == _PROTOCOL:
        return ", ".join(shown + (MASK if secret else "") for shown, secret in _protocols(value))
    if is_secret(name):
        scheme = _SCHEME.match(value.strip())
        return (scheme[0] if scheme else "") + MASK if value.strip() else value
    if "=" in value:
        value = _PARAMETER.sub(_without_value, value)
    if value.startswith(_ADDRESS):
        value = mask_path(value)
    if value.lstrip()[:1] in ("{", "["):
        value = _MEMBER.sub(_without_member, value)
    return mask_formed(value)


def is_masked(name: str, value: str) -> bool:
    """Return whether the value of a stored header was masked."""
    return value.endswith(MASK) and is_secret(name)


def mask_query(query: str) -> str:
    """Replace the values of parameters that are named like credentials, or contain one, by `***`.

    Names are compared regardless of case, percent-encoding and the difference between `-` and `_`; everything else is
    unchanged.
    """
    return "&".join(_masked_parameter(parameter) for parameter in query.split("&")) if query else query


def mask_path(path: str) -> str:
    """Replace a key in a path, as in `/v1/KEY/chat/completions` or `/bot<token>/`, by as many `*`."""
    return _overwritten(path, _path_spans(path))


def fingerprint(credential: bytes, store_key: bytes) -> str:
    """Return 16 hexadecimal digits that identify a credential in one store: BLAKE2b with its key (up to 64 bytes)."""
    return hashlib.blake2b(credential, key=store_key, digest_size=8).hexdigest()


def _secret_values(name: str, value: str) -> Iterator[str]:
    name, value = name.strip().lower(), value.strip()
    if name == _PROTOCOL:
        yield from (secret for _, secret in _protocols(value) if secret)
    elif not is_secret(name):
        if "=" in value:
            yield from (match[3].strip('"') for match in _PARAMETER.finditer(value) if is_secret(unquote(match[2])))
    elif "cookie" in name:
        # Only the first pair of a Set-Cookie is the cookie; the rest are attributes such as the path.
        pairs = value.split(";")[: 1 if name.startswith("set-") else None]
        yield from ((pair.partition("=")[2] or pair).strip(' "') for pair in pairs if not pair.endswith("="))
    elif "authorization" in name:
        yield from _authorization_values(value)
    else:
        yield value
        yield _BEARER.sub("", value, count=1)


def _authorization_values(value: str) -> Iterator[str]:
    scheme, *rest = value.split(maxsplit=1) or [""]
    # Without a scheme the whole value is the key; some clients repeat the scheme before the key.
    token = _BEARER.sub("", rest[0] if rest else value, count=1)
    yield token
    yield from (match[3].strip('"') for match in _PARAMETER.finditer(token) if is_secret(match[2]))
    if scheme.lower() == "basic":
        yield _basic_password(token)


def _basic_password(token: str) -> str:
    try:
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
    except ValueError:
        return ""
    user, _, password = decoded.partition(b":")
    return (password or user).decode("utf-8", "surrogateescape")


@lru_cache(4096)
def _cached_line(line: str) -> tuple[str, tuple[bytes, ...]]:
    return _masked_line(line)


def _masked_line(line: str) -> tuple[str, tuple[bytes, ...]]:
    name, colon, value = line.partition(": ")
    if not colon:
        return mask_formed(line), ()
    return f"{mask_formed(name)}{colon}{mask_value(name, value)}", credentials([(name, value)])


def _without_value(parameter: re.Match[str]) -> str:
    hides = (parameter[3] and is_secret(unquote(parameter[2]))) or _has_form(unquote_plus(parameter[3]))
    return parameter[1] + (MASK if hides else parameter[3])


def _without_member(member: re.Match[str]) -> str:
    # This is a gateway's configuration, not a body, so any name of a secret counts.
    return member[0][: member.start(2) - member.start()] + MASK + '"' if is_secret(member[1]) else member[0]


def _protocols(value: str) -> Iterator[tuple[str, str]]:
    """Yield the visible part of each protocol that a WebSocket offers, and its credential.

    Browsers cannot send headers, so APIs accept `openai-insecure-api-key.KEY`, or a pair like `access_token, KEY`.
    """
    names_next = False
    for protocol in value.split(","):
        name, dot, secret = protocol.strip().partition(".")
        if names_next:
            yield "", protocol.strip()
        elif dot and (is_secret(name) or is_secret(secret.partition(".")[0])):
            yield name + dot, secret
        elif _has_form(protocol):
            yield "", protocol.strip()
        else:
            yield protocol.strip(), ""
        names_next = not dot and not names_next and is_secret(name)


def _masked_parameter(parameter: str) -> str:
    for match in _PARAMETER_NAME.finditer(parameter):
        name = unquote(unquote_plus(match[1])).strip("? ")
        if is_secret(name) and match.end() < len(parameter):
            return parameter[: match.end()] + MASK
    name, sign, value = parameter.partition("=")
    return (
        f"{name}=***"
        if sign and _has_form(unquote_plus(value))
        else MASK
        if _has_form(unquote_plus(parameter))
        else parameter
    )


def _parameter_values(parameter: str) -> Iterator[str]:
    masked = _masked_parameter(parameter)
    if masked != parameter:
        value = parameter[len(masked) - len(MASK) :]
        yield from {value, unquote_plus(value)}


@lru_cache(512)
def _path_spans(path: str) -> tuple[Span, ...]:
    """Return the spans of keys in a path."""
    spans: list[Span] = []
    start = 0
    named = False
    for segment in path.split("/"):
        meant = unquote(segment)
        before = len(segment) - len(segment.removeprefix("bot"))
        if meant != segment and _has_form(meant):
            spans.append((start, start + len(segment)))
        elif found := patterns.find(segment):
            spans += [(start + finding.start, start + finding.end) for finding in found]
        elif _is_bare_key(segment[before:]) and (before or named or _ENDPOINT.match(path, start + len(segment))):
            spans.append((start + before, start + len(segment)))
        spans += [
            (start + match.start(3), start + match.end(3))
            for match in _PARAMETER.finditer(segment)
            if match[3] and is_secret(unquote(match[2]))
        ]
        named = is_secret(meant) or meant.lower() in _LISTS
        start += len(segment) + 1
    spans += [(finding.start, finding.end) for finding in patterns.find(path)]
    return tuple(sorted(spans))


def _is_bare_key(segment: str) -> bool:
    """Return whether a segment looks random, though it has no known form: such a key may precede an endpoint."""
    has_both = any(map(str.isdigit, segment)) and any(map(str.isalpha, segment))
    longest = max(re.split(r"[-._~]", segment), key=len)
    return len(longest) >= patterns.MIN_ROW_LENGTH and has_both and bool(_BARE_KEY.fullmatch(segment))


def _has_form(text: str) -> bool:
    return len(text) >= MIN_LENGTH and bool(patterns.find(text))


def _overwritten(text: str, spans: Iterable[Span]) -> str:
    for start, end in spans:
        text = text[:start] + "*" * (end - start) + text[end:]
    return text


def _as_bytes(text: str) -> bytes:
    return text.encode("ascii", "replace")  # one byte per character keeps positions

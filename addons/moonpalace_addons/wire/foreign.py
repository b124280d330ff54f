"""Quote foreign text in our own messages: short, printable, on one line, and without secrets.

Text from a client, from upstream or from a library that quotes them passes through here before it appears in a log, in
a row's error or in an answer of our own. It may be megabytes long, move a terminal's cursor, or contain a cookie.
"""

import re

from moonpalace_addons.wire.secrets.masking import MASK, mask_formed
from moonpalace_addons.wire.secrets.names import is_secret

MAX_QUOTE = 500
"""Default limit of a quotation, in characters."""
_READ_FACTOR = 8
"""The multiple of the limit that is read, because masking and collapsing whitespace shorten the text."""
_CUT = "…"
# A header line as it is, or as Python writes it: `Set-Cookie: x`, `b'Set-Cookie: x\r\n'`, `(b'Set-Cookie', b'x')`.
_NAME = re.compile(r"(^|[\s'\"(\[]|\\[rn])([A-Za-z][A-Za-z0-9_-]{1,60})\s{0,3}['\"]?\s{0,3}[:=,]\s{0,3}(?:b?['\"])?")
_LINE_END = re.compile(r"\\r|\\n|[\r\n]|\Z")
_HEADERS = re.compile(r".*-|authorization|.*cookie", re.IGNORECASE)
"""Names that are header names even in the middle of a sentence, where a key or a token is an ordinary word."""
_UNPRINTABLE = re.compile(r"[^\n\r\x20-\x7e]|\r(?!\n)")


def quoted(text: str, limit: int = MAX_QUOTE) -> str:
    """Return the text as it may appear in one of our messages."""
    looked_at = text[: limit * _READ_FACTOR]
    shown = " ".join(printable(mask_formed(without_headers(looked_at))).split())
    whole = len(looked_at) == len(text)
    return shown if whole and len(shown) <= limit else shown[:limit].rstrip() + _CUT


def printable(text: str) -> str:
    """Return the text with non-printable characters (line ends, controls, direction marks) replaced by spaces."""
    if text.isprintable():
        return text
    return "".join([character if character.isprintable() else " " for character in text])


def printable_lines(text: str) -> str:
    """Return the text with non-printable characters replaced by spaces, except line ends."""
    return _UNPRINTABLE.sub(lambda match: printable(match[0]), text)


def without_headers(text: str) -> str:
    """Mask the values of headers quoted in the text, up to the end of their lines."""
    place = 0
    while match := _NAME.search(text, place):
        place = match.end(2)
        if is_secret(match[2]) and (match[1] != " " or _HEADERS.match(match[2])):
            end = _LINE_END.search(text, match.end())
            text = text[: match.end()] + MASK + (text[end.start() :] if end else "")
            place = match.end() + len(MASK)
    return text

"""Translate the patterns of `~` and `%` to LIKE and to regular expressions of each database."""

from __future__ import annotations

import re
from typing import Protocol

ESCAPE = "!"
"""The escape character of LIKE patterns; databases differ in how they treat a backslash."""

MAX_REGEX_LENGTH = 1_000
"""Characters of a regular expression, whose cost grows with its length."""


class PatternError(ValueError):
    """An invalid pattern."""


class Pattern(Protocol):
    """A compiled regular expression."""

    def search(self, text: bytes) -> object:
        """Return a match in a UTF-8 text, or None."""


def like(pattern: str) -> str:
    r"""Return the LIKE pattern for a pattern of `~`.

    It matches anywhere. A `*` at one end matches anything there and anchors the other end; `%` and `_` are LIKE's
    wildcards, and a backslash makes the next character literal.
    """
    pieces = re.findall(r"\\.|.", pattern, re.DOTALL)
    first, last = pieces[:1] == ["*"], len(pieces) > 1 and pieces[-1] == "*"
    inner = pieces[first : len(pieces) - last]
    anchored_first, anchored_last = last and not first, first and not last and len(pieces) > 1
    return f"{'' if anchored_first else '%'}{''.join(map(like_piece, inner))}{'' if anchored_last else '%'}"


def like_piece(piece: str) -> str:
    """Return one character of the pattern, possibly escaped, for LIKE."""
    if piece in ("%", "_"):
        return piece
    character = piece[-1]
    return ESCAPE + character if character in ("%", "_", ESCAPE) else character


def check_regex(pattern: str) -> None:
    """Raise PatternError for a regular expression that RE2 does not accept; RE2 matches in linear time."""
    if len(pattern) > MAX_REGEX_LENGTH:
        raise PatternError(f"a regular expression has at most {MAX_REGEX_LENGTH:,} characters")
    compiled(pattern)


def compiled(pattern: str) -> Pattern:
    """Return a compiled RE2 regular expression, for `search` on UTF-8."""
    import re2  # type: ignore[import-untyped]  # only `%` needs it

    options = re2.Options()
    options.log_errors = False
    try:
        regex: Pattern = re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise PatternError(f"this regular expression cannot be used: {words or 'it is not valid'}") from None
    return regex


CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r"\t\n\f\r "}
"""RE2's character classes, which are ASCII-only."""
UNCHANGED = frozenset("Aafnrtv")
BOUNDARIES = {"b": r"\y", "B": r"\Y", "z": r"\Z"}

TOKEN = re.compile(
    r"""(?P<escape>\\(?:x\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|[pP]\{\^?\w+\}|[pP]\w|[0-7]{2,3}|Q.*?(?:\\E|$)|.))
    |(?P<posix>\[:\^?\w+:\])
    |(?P<group>\(\?P?<\w+>|\(\?:|\(\?[a-zA-Z-]*[:)])
    |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)


def postgresql_regex(pattern: str) -> str:
    """Return an RE2 regular expression in PostgreSQL's syntax; raises PatternError if that has no equivalent."""
    flags = re.match(r"\(\?([is]+)\)", pattern)
    tokens = TOKEN.finditer(pattern, flags.end() if flags else 0)
    dot = "." if flags and "s" in flags[1] else r"[^\n]"
    written, in_class, beginning = "", False, -1
    for token in tokens:
        piece, opens = token[0], token.start() == beginning
        if token["escape"]:
            written += postgresql_escape(piece, in_class=in_class)
        elif in_class:
            in_class = piece != "]" or opens
            written += "\\" + piece if piece == "[" or (piece == "]" and in_class) else piece
        elif token["group"]:
            written += postgresql_group(piece)
        elif piece == ".":
            written += dot
        else:
            in_class = piece == "["
            beginning = token.end() + (pattern[token.end() : token.end() + 1] == "^")
            written += piece
    # The director selects advanced regular expressions whatever the server's default is.
    return f"***:{'(?i)' if flags and 'i' in flags[1] else ''}{written}"


def postgresql_group(piece: str) -> str:
    """Return the opening of a group in PostgreSQL's syntax."""
    if piece == "(?:":
        return piece
    if piece.endswith(">"):
        return "("
    raise PatternError(f"on PostgreSQL a regular expression has flags at its beginning only: {piece}")


def postgresql_escape(piece: str, *, in_class: bool) -> str:
    """Return an escape sequence in PostgreSQL's syntax."""
    kind = piece[1]
    if kind.lower() in CLASSES:
        members = CLASSES[kind.lower()]
        if kind.islower():
            return members if in_class else f"[{members}]"
        if not in_class:
            return f"[^{members}]"
    elif kind in BOUNDARIES and not in_class:
        return BOUNDARIES[kind]
    elif kind == "Q" and not in_class:
        return "".join(map(literal, piece.removeprefix(r"\Q").removesuffix(r"\E")))
    elif kind == "x" and len(piece) > 2:
        return literal(chr(int(piece[2:].strip("{}"), 16)))
    elif piece[1:].isdigit():
        return literal(chr(int(piece[1:], 8)))
    elif kind in UNCHANGED:
        return piece
    elif not kind.isalnum():
        return literal(kind)
    raise PatternError(f"on PostgreSQL there is no {piece} in a regular expression{' class' if in_class else ''}")


def literal(character: str) -> str:
    """Return a literal character, escaped if necessary."""
    return character if character.isalnum() or character == "_" or ord(character) > 127 else "\\" + character

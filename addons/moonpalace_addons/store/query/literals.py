"""Parse the literals of predicates: strings with escapes, numbers, durations and paths."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from moonpalace_addons.store.query.tree import AnyElement, Element, Member, Step

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "/": "/"}
"""Escape sequences in strings. A backslash before any other character is kept, which keeps patterns readable:
'100\\%', '\\d+'."""

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
MAX_NUMBER_LENGTH = 400
MAX_EXPONENT = 300
"""Decimal exponent: the range of a double, the largest number type of SQLite."""
MAX_STEPS = 30
"""Steps of a path. Databases limit the depth of expressions, and each step takes several levels."""
MAX_INDEX = 10**9

AMOUNT = re.compile(r"([0-9.]+)([a-z]+)")
STEP = re.compile(r"`((?:[^`]|``)+)`|(\*)|(-?[0-9]+)(?!\w)|([^\W\d]\w*)")


class LiteralError(ValueError):
    """A malformed literal; `offset` is the character at fault."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def read_string(token: str) -> str:
    r"""Return the value of a quoted string; `\uXXXX` surrogate pairs become one character."""
    body = token[1:-1]
    check_characters(body, 1)

    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return ESCAPES.get(match[2], match[0])

    text = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", replaced, body, flags=re.DOTALL)
    try:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise LiteralError("a string cannot hold half of a surrogate pair") from None
    if "\x00" in text:
        raise LiteralError("a string cannot hold the character NUL")
    return text


def check_characters(text: str, offset: int = 0) -> None:
    """Raise LiteralError for characters that no database can store."""
    for number, character in enumerate(text):
        if character == "\x00" or "\ud800" <= character <= "\udfff":
            kind = "the character NUL" if character == "\x00" else "what is not a character (its bytes are not UTF-8)"
            raise LiteralError(f"a predicate cannot hold {kind}", offset + number)


def read_number(token: str) -> int | Decimal:
    """Return an int for a whole number, else a Decimal."""
    if len(token) > MAX_NUMBER_LENGTH:
        raise LiteralError(f"a number has at most {MAX_NUMBER_LENGTH} characters")
    if re.fullmatch(r"[+-]?[0-9]+", token):
        if abs(int(token)) > 10**MAX_EXPONENT:
            raise LiteralError("this number is out of range")
        return int(token)
    try:
        number = Decimal(token)
    except InvalidOperation:
        raise LiteralError("this number is out of range") from None
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise LiteralError("this number is out of range")
    return number


def read_span(token: str) -> int:
    """Return a duration such as `-2h`, `1.5s` or `1d12h` in nanoseconds."""
    if len(token) > MAX_NUMBER_LENGTH:
        raise LiteralError("this length of time is out of range")
    length = int(sum(Decimal(amount) * NANOSECONDS[unit] for amount, unit in AMOUNT.findall(token)))
    if length >= 2**63:
        raise LiteralError("this length of time is out of range")
    return -length if token.startswith("-") else length


def read_path(token: str) -> tuple[str, tuple[Step, ...]]:
    """Return the field that a path begins with and the steps into it."""
    check_characters(token)
    first, *others = list(STEP.finditer(token))
    if len(others) > MAX_STEPS:
        raise LiteralError(f"a path has at most {MAX_STEPS} steps", others[MAX_STEPS].start())
    return named(first), tuple(step(match) for match in others)


def named(match: re.Match[str]) -> str:
    """Return the name in a part of a path."""
    return match[1].replace("``", "`") if match[1] else match[0]


def step(match: re.Match[str]) -> Step:
    """Return a part of a path as a step."""
    if match[2]:
        return AnyElement()
    if match[3]:
        if len(match[3]) > 10 or abs(int(match[3])) > MAX_INDEX:
            raise LiteralError("no array has so many elements", match.start())
        return Element(int(match[3]))
    return Member(named(match))

"""Read the literals of predicates: strings with escapes, numbers, lengths of time, paths."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from moonpalace_addons.store.query.tree import AnyElement, Element, Member, Step

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "/": "/"}
"""What stands for what after a backslash in a string; a backslash before anything else stands for itself, so that
patterns read as they are: '100\\%', '\\d+'."""

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
LONGEST_NUMBER = 400
LARGEST_EXPONENT = 300
"""Of ten; what a double holds, and SQLite has nothing larger."""
MOST_STEPS = 30
"""Steps of a path: a database takes expressions of a limited depth, and each step is several levels of one."""
LARGEST_INDEX = 10**9

AMOUNT = re.compile(r"([0-9.]+)([a-z]+)")
STEP = re.compile(r"`((?:[^`]|``)+)`|(\*)|(-?[0-9]+)(?!\w)|([^\W\d]\w*)")


class LiteralError(ValueError):
    """Say what is wrong with a literal, and at which character of it."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def read_string(token: str) -> str:
    r"""Return a quoted string with its escapes replaced; `\uXXXX` pairs of surrogates are one character."""
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
    """Refuse what no database can hold."""
    for number, character in enumerate(text):
        if character == "\x00" or "\ud800" <= character <= "\udfff":
            what = "the character NUL" if character == "\x00" else "what is no character (its bytes are not UTF-8)"
            raise LiteralError(f"a predicate cannot hold {what}", offset + number)


def read_number(token: str) -> int | Decimal:
    """Return a whole number exactly, any other as a decimal one."""
    if len(token) > LONGEST_NUMBER:
        raise LiteralError(f"a number has at most {LONGEST_NUMBER} characters")
    if re.fullmatch(r"[+-]?[0-9]+", token):
        if abs(int(token)) > 10**LARGEST_EXPONENT:
            raise LiteralError("this number is out of range")
        return int(token)
    try:
        number = Decimal(token)
    except InvalidOperation:
        raise LiteralError("this number is out of range") from None
    if abs(number.adjusted()) > LARGEST_EXPONENT:
        raise LiteralError("this number is out of range")
    return number


def read_span(token: str) -> int:
    """Return a length of time in nanoseconds: `-2h`, `1.5s`, `1d12h`."""
    if len(token) > LONGEST_NUMBER:
        raise LiteralError("this length of time is out of range")
    length = int(sum(Decimal(amount) * NANOSECONDS[unit] for amount, unit in AMOUNT.findall(token)))
    if length >= 2**63:
        raise LiteralError("this length of time is out of range")
    return -length if token.startswith("-") else length


def read_path(token: str) -> tuple[str, tuple[Step, ...]]:
    """Return the field that a path begins with, and the steps into it."""
    check_characters(token)
    first, *others = list(STEP.finditer(token))
    if len(others) > MOST_STEPS:
        raise LiteralError(f"a path has at most {MOST_STEPS} steps", others[MOST_STEPS].start())
    return named(first), tuple(step(match) for match in others)


def named(match: re.Match[str]) -> str:
    """Return the name that a part of a path is."""
    return match[1].replace("``", "`") if match[1] else match[0]


def step(match: re.Match[str]) -> Step:
    """Return the step that a part of a path is."""
    if match[2]:
        return AnyElement()
    if match[3]:
        if len(match[3]) > 10 or abs(int(match[3])) > LARGEST_INDEX:
            raise LiteralError("no array has so many elements", match.start())
        return Element(int(match[3]))
    return Member(named(match))

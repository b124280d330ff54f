"""Find personal data, addresses of private networks and named passwords in running text.

    phone         Chinese mobile numbers and landlines; numbers with + or 00 and the code of a country; (415) 555-2671
    identity      Chinese identity numbers, with the digit that checks the others
    card          numbers of bank cards, by the beginnings that are in use and by Luhn's rule
    host          addresses of private networks, and names under .internal, .local, .lan, .corp …
    secret        passwords, by the word before them: password=…, "pwd": "…", --password …, 密码：…

These rules are for texts that leave the machine. Stored calls keep such data: a phone number is not a key.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Literal, NamedTuple

MIN_LENGTH = 7
"""Minimum characters of a text that is searched."""

type Kind = Literal["phone", "identity", "card", "host", "secret"]


class Personal(NamedTuple):
    """A piece of personal data: its span and its kind."""

    start: int
    end: int
    kind: Kind


_RUN = re.compile(r"[0-9][0-9 ().-]{5,26}[0-9Xx]")
_WORD = re.compile(r"[^ ]+")
_OPENING = re.compile(r"[+(]{0,2}\Z")
_BEFORE = re.compile(r"(?:[\w.+/#-]|\w\()\Z")
_AFTER = re.compile(r"[A-Za-z0-9_-]|\.[0-9]")
_MOBILE = re.compile(r"(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:([ -]?)[0-9]{4}\1[0-9]{4})")
_LANDLINE = re.compile(r"(?:(?:\+|00)86[ -]?|\(?0)(?:10|2[0-9]|[3-9][0-9]{2})\)?[ -][2-9][0-9]{2,3}[ -]?[0-9]{4}")
_INTERNATIONAL = re.compile(
    r"\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,5}\)?){2,6}|00[1-9][0-9]{0,2}(?:[ -]\(?[0-9]{2,8}\)?){2,5}"
)
_AMERICAN = re.compile(r"\([2-9][0-9]{2}\) ?[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}")
_SEPARATORS = re.compile(r"[ ().-]")
_CARD = re.compile(r"[0-9]{13,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|3[47][0-9]{2}([ -])[0-9]{6}\2[0-9]{5}")
_ISSUERS = re.compile(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|35(?:2[89]|[3-8])|6(?:011|5|2)|81")
_PROVINCES = frozenset(
    (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83, 91)
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PRIVATE = re.compile(r"1(?:0|92\.168|72|69\.254|00)\.")
_ADDRESS = re.compile(
    rf"(?<![\w.-])(?<![A-Za-z]/)(?<![Vv]ersion )"
    rf"(?:10\.{_BYTE}|192\.168|172\.(?:1[6-9]|2[0-9]|3[01])|169\.254|100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))"
    rf"\.{_BYTE}\.{_BYTE}(?![\w-]|\.[0-9])"
)
_ADDRESS6 = re.compile(
    r"(?<![\w:])f(?:[cd][0-9a-f]{2}|e80):(?:[0-9a-f]{0,4}:){1,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE
)
_BEFORE_COLONS = re.compile(r"[0-9A-Fa-f:]{4,40}\Z")
_ZONES = (".internal", ".intranet", ".localdomain", ".local", ".lan", ".corp", ".home.arpa", ".private", ".svc")
_END = re.compile(r"(?![\w-]|\.\w)")
_LABELS = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.){0,8}[A-Za-z0-9_-]{1,63}\Z")
_PORT = re.compile(r":[0-9]{2,5}(?![0-9])")

_MARKS = ("pass", "pwd", "密码", "口令")
_VALUE = (
    r"(?P<space>\s{0,4})(?P<open>\\?[\"'`])?"
    r"(?P<value>[^\s\"'`,;&<>(){}\[\]\\，。；、]{4,64})(?P<after>[(\[{]?)"
)
_NAMED = re.compile(
    r"(?:password|passwd|passphrase|passcode|(?<![A-Za-z])pwd|(?<![A-Za-z])pass(?=[\"']?\s{0,4}[:=])|密码|口令)"
    r"(?:\\?[\"'`])?\s{0,4}(?P<sign>:=|=>|==?|[:：]|是)" + _VALUE,
    re.IGNORECASE,
)
_FLAG = re.compile(r"(?:password|passwd|passphrase|pwd|pass)(?P<sign>[ =])" + _VALUE, re.IGNORECASE)
_WORDS = """
changeme changeit example false hidden input invalid masked missing none null optional password passwd pass pwd
placeholder redacted required secret str string text true undefined unknown value wrong your yourpassword default empty
field prompt admin test must should type varchar char here strong weak correct incorrect
"""
_NOT_PASSWORDS = frozenset(_WORDS.split())
_TYPICAL_CODE = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*|[A-Za-z]+(?:_[A-Za-z]+)+|[a-z]+(?:[A-Z][a-z]+)+|[A-Z_]+")


def find(text: str) -> Iterator[Personal]:
    """Yield all findings, in no particular order; a number has only one kind."""
    if len(text) < MIN_LENGTH:
        return
    yield from _numbers(text)
    if "." in text or "::" in text:
        yield from _hosts(text)
    yield from passwords(text)


def passwords(text: str) -> Iterator[Personal]:
    """Yield only the passwords, which are secret in any context."""
    lower = _lower(text)
    for mark in _MARKS:
        at = lower.find(mark)
        while at >= 0:
            is_flag = text[max(0, at - 2) : at] in ("--", " -")
            match = (_FLAG if is_flag else _NAMED).match(text, at)
            if match is not None and _is_password(match, is_flag=is_flag):
                yield Personal(match.start("value"), match.end("value"), "secret")
            at = lower.find(mark, at + len(mark) if match is None else match.end("value"))


def _numbers(text: str) -> Iterator[Personal]:
    for match in _RUN.finditer(text):
        number = _number(text, match.start(), match.end())
        if number is not None:
            yield number
        elif " " in match[0]:  # each of several numbers may be one
            words = (word.span() for word in _WORD.finditer(text, match.start(), match.end()))
            yield from filter(None, (_number(text, start, end) for start, end in words))


def _number(text: str, start: int, end: int) -> Personal | None:
    opening = _OPENING.search(text, max(0, start - 2), start)
    start -= len(opening[0]) if opening else 0
    before = text[max(0, start - 2) : start]
    if _BEFORE.search(before) or _AFTER.match(text, end):
        return None
    kind = kind_of(text[start:end], before[-1:])
    if kind is None and text[start : start + 1] == "(":  # the number itself is in parentheses
        start += 1
        kind = kind_of(text[start:end])
    return None if kind is None else Personal(start, end, kind)


def kind_of(number: str, before: str = "") -> Kind | None:
    """Return the kind of a number, given with its separators, or None."""
    digits = _SEPARATORS.sub("", number)
    if is_identity(digits) and digits == number:
        return "identity"
    if _CARD.fullmatch(number) and is_card(digits):
        return "card"
    if _MOBILE.fullmatch(number) or _LANDLINE.fullmatch(number) or _AMERICAN.fullmatch(number):
        return "phone"
    is_split = digits != number
    if _INTERNATIONAL.fullmatch(number) and 9 <= len(digits.strip("+")) <= 15:
        return "phone" if is_split or (len(digits) > 10 and before not in ("", "\n")) else None
    return None


def is_identity(number: str) -> bool:
    """Return whether 18 characters are a Chinese identity number: province, date of birth, check digit (GB 11643)."""
    if len(number) != 18 or not number[:17].isdecimal() or int(number[:2]) not in _PROVINCES:
        return False
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False))
    return 1900 <= born.year <= 2099 and number[17].upper() == _CHECKS[total % 11]


def is_card(number: str) -> bool:
    """Return whether digits are a bank card number, by the issuer's prefix and Luhn's algorithm."""
    if len(set(number)) < 2 or not _ISSUERS.match(number):
        return False
    turned = [int(digit) for digit in reversed(number)]
    return (sum(turned[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in turned[1::2])) % 10 == 0


def _hosts(text: str) -> Iterator[Personal]:
    for hint in _PRIVATE.finditer(text):
        if match := _ADDRESS.match(text, hint.start()):
            yield Personal(match.start(), match.end(), "host")
    at = text.find("::")
    while at >= 0:
        start = _BEFORE_COLONS.search(text, max(0, at - 40), at)
        if start is not None and (match := _ADDRESS6.match(text, start.start())):
            yield Personal(match.start(), match.end(), "host")
        at = text.find("::", at + 2)
    lower = _lower(text)
    for zone in _ZONES:
        at = lower.find(zone)
        while at >= 0:
            end = at + len(zone)
            labels = _LABELS.search(text, max(0, at - 200), at) if _END.match(text, end) else None
            if labels is not None and _is_host(text, labels.start(), end):
                yield Personal(labels.start(), end, "host")
            at = lower.find(zone, end)


def _lower(text: str) -> str:
    """Return the text in lower case with the same length; only İ would become two characters."""
    return text.replace("İ", "i").lower()


def _is_host(text: str, start: int, end: int) -> bool:
    """Distinguish a host from a name in code, such as `threading.local`."""
    name, before = text[start:end], text[max(0, start - 3) : start]
    is_placed = before.endswith(("://", "@")) or _PORT.match(text, end) is not None
    return is_placed or name.endswith(".svc") or any(char.isdigit() or char == "-" for char in name)


def _is_password(match: re.Match[str], *, is_flag: bool) -> bool:
    value = match["value"].rstrip(".:!?")
    word = value.lower().strip("*.-_")
    if match["after"] or len(set(value)) < 3 or word in _NOT_PASSWORDS or value[0] in "$%*/|=:#":
        return False
    if _TYPICAL_CODE.fullmatch(value) and not match["open"]:
        return False
    is_plain = value.isalpha() and value.isascii()
    is_tight = is_flag or bool(match["open"]) or (match["sign"] == "=" and not match["space"])
    return value.isascii() and (is_tight or not is_plain) and not value.lower().startswith(("http://", "https://"))

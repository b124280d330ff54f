r"""Detect credentials in running text by the name in front of them.

`OPENAI_API_KEY=…` of an `.env` file, `x-api-key: …` of a command, `{\"access_token\": \"…\"}` in a tool's arguments,
`https://host/?X-Amz-Signature=…`, `["Authorization", "…"]`: name and value are separated by one of a few signs, with
quotes, JSON escapes at any depth, percent-encoding and whitespace around them. Since a text may be about anything, the
name must be as specific as that of a member of a body, and the value must look random.
"""

import re
from functools import lru_cache

from moonpalace_addons.wire.secrets.names import is_secret, is_secret_member

NAME_REACH = 120
"""Bytes before a value that may contain its name."""
VALUE_PREFIXES = frozenset(
    {b"=", b":", b'"', b"'", b"`", b"[", b">", b" ", b"\t", b"\n", b"+", b"%", b"\\", "：".encode()[-1:]}
)
"""Bytes that may precede the characters of a value: a sign, quote, whitespace, or the start of an escape."""
_MIN_OF_EACH_KIND = 3
"""Minimum digits, and minimum letters, of a value: `my_variable_name_2` is not one."""
_MIN_LENGTH = 16
_BEFORE_PARAMETERS = frozenset({b"?", b"&", b"#", b"%3F", b"%3f", b"%26", b"%23", b"%253F", b"%2526"})

_WORDS = ("密钥", "密码", "口令", "令牌", "凭证")
_FOREIGN_NAMES = b"|".join(
    re.escape(spelling) for word in _WORDS for spelling in (word.encode(), word.encode("unicode_escape"))
)
_AROUND = rb"(?:[\s\"'`\[\]]|\\+[nrt\"'/]?|%(?:25)?(?:2[027]|5[BbCcDd])|\+){0,16}+"
_SIGN = (
    rb"(?:=>|:?=|:|\xef\xbc\x9a|>|%(?:25)?3[DdAa]"
    rb"|,(?=\s{0,4}\\*[\"'])(?:" + _AROUND + rb"value" + _AROUND + rb":)?)"
)  # fmt: skip
_SCHEME = rb"(?:(?i:basic|bearer|token|key|apikey)(?: |\+|%20)++)?"
_NAME = re.compile(
    rb"(?:^|(?P<before>\\+[nrt]|%(?:25)?[0-9A-Fa-f]{2}|[^A-Za-z0-9_.$-]))"
    rb"(?:(?P<name>[A-Za-z_$][A-Za-z0-9_.$-]{1,60}+)|" + _FOREIGN_NAMES + rb")"
    + _AROUND + _SIGN + _AROUND + _SCHEME + rb"\Z"
)  # fmt: skip
_MARKS = tuple(mark.encode() for mark in ("key", "token", "secret", "pass", "pwd", "auth", "credential", "cookie"))
"""Parts of nearly all names of secrets: a name without any of them needs no closer look."""
_MARKS += tuple(mark.encode() for mark in ("bearer", "jwt", "assertion", "macaroon", "sig", "session", "csrf", "hmac"))
"""Parts of the rarer names."""
_VALUE = re.compile(rb"[A-Za-z0-9_.~+/-]{16,}=*(?![A-Za-z0-9_.~+/(-])")  # a name before a parenthesis is code
_LAST_ROW = re.compile(rb"[A-Za-z0-9_.~+/-]+\Z")
_MAX_OPEN_LENGTH = 600
"""Maximum length of a value that may still grow, in characters."""


def find_at(data: bytes, start: int) -> tuple[int, int] | None:
    """Return the span of the credential in the row at `start`, if the text before names it."""
    start = _value_start(data, start)
    value = _VALUE.match(data, start)
    return value.span() if value is not None and is_mixed(value[0]) and _named(data, start) else None


def begun(text: bytes) -> int:
    """Return how many bytes at the end may be a name and the start of its value, a possible credential."""
    row = _LAST_ROW.search(text, max(0, len(text) - _MAX_OPEN_LENGTH))
    start = min(_value_start(text, row.start()), len(text)) if row else len(text)
    named = _named(text, start)
    return named + len(text) - start if named else 0


def is_mixed(value: bytes) -> bool:
    """Return whether a value is long enough and mixes letters and digits as machine-made values do."""
    letters = len(value.translate(None, b"0123456789"))
    return len(value) >= _MIN_LENGTH and _MIN_OF_EACH_KIND <= letters <= len(value) - _MIN_OF_EACH_KIND


def _value_start(data: bytes, start: int) -> int:
    # The rest of an escape, such as the `n` of a line end, is not part of the value.
    before = data[max(0, start - 1) : start]
    if before == b"%":
        return start + (4 if data[start : start + 2] == b"25" else 2)
    return start + 1 if before == b"\\" else start


def _named(data: bytes, start: int) -> int:
    """Return how many bytes before a value the name of a secret begins; 0 if there is none."""
    return _name_before(data[max(0, start - NAME_REACH) : start])


@lru_cache(4096)
def _name_before(before: bytes) -> int:
    # The same members precede values again and again.
    lowered = before.lower()
    if b"\\u" not in lowered and lowered.isascii() and not any(mark in lowered for mark in _MARKS):
        return 0
    named = _NAME.search(before)
    return len(before) - named.start() if named and _is_secret_name(named["name"], named["before"] or b"") else 0


@lru_cache(2048)
def _is_secret_name(name: bytes | None, before: bytes) -> bool:
    if name is None:
        return True
    text = name.decode("ascii")
    return is_secret_member(text) or (before in _BEFORE_PARAMETERS and is_secret(text))

"""Recognize credentials in text by the format of their issuer.

Only machine-made formats are recognized: the issuer's prefix, followed by enough random characters, so that neither
`sk-your-key-here` nor `sk-learn-tutorial-version-1` matches. There are few false positives; text without a match may
still contain a secret, such as a password in a sentence.

The time is linear in the length of any text, and small: prose is skipped at the speed of `bytes.find`. Nearly all
formats have sixteen letters and digits in a row, which few words have, so the text is translated into a `view` of
character classes, which is searched for such rows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from moonpalace_addons.wire.secrets import assignments

MIN_ROW_LENGTH = 16
"""Minimum characters in a row that can contain a secret with a prefix."""
LOOKAHEAD = 4096
"""Bytes read after a position to recognize a secret that begins there; a private key may be longer."""
LOOKBEHIND = 320
"""Bytes read before a position."""
_MAX_PLACEHOLDER_CHARACTERS = 6
"""Distinct characters up to which a value counts as a placeholder, such as `sk-xxxxxxxx0000`."""
_MAX_KEY_BLOCK = 20_000
"""Maximum characters of a private key; RSA of 16,384 bits takes 13,000."""
_MAX_STRETCH = 3000
"""Maximum characters without a separator: longer stretches are images or the like, and contain no credential."""
_PLACEHOLDERS = frozenset({b"***", b"pass", b"passwd", b"password", b"pw", b"pwd", b"secret", b"xxx"})


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret: its kind, for people, and its span."""

    kind: str
    start: int
    end: int


_B64 = "[A-Za-z0-9_-]"
_AN = "[A-Za-z0-9]"
FORMS = (
    ("API key", "sk-", _B64 + "{16,}"),  # OpenAI's, Moonshot's, Anthropic's, and of many others
    ("API key", "csk-", _AN + "{20,}"),  # Cerebras
    ("API key", "gsk_", _AN + "{20,}"),  # Groq
    ("API key", "xai-", _AN + "{20,}"),
    ("API key", "pplx-", _AN + "{20,}"),
    ("API key", "nvapi-", _B64 + "{20,}"),
    ("API key", "r8_", _AN + "{20,}"),  # Replicate
    ("API key", "tgp_v1_", _B64 + "{20,}"),  # Together
    ("API key", "tvly-", _B64 + "{16,}"),
    ("API key", "jina_", _B64 + "{20,}"),
    ("API key", "lsv2_", "(?:pt|sk)_[a-f0-9_]{20,}"),  # LangSmith
    ("API key", "sess-", _AN + "{32,}"),
    ("Stripe key", "sk_live_", _AN + "{16,}"),
    ("Stripe key", "rk_live_", _AN + "{16,}"),
    ("Stripe key", "whsec_", _AN + "{20,}"),
    ("AWS access key", "AKIA", f"[A-Z0-9]{{16}}(?!{_AN})"),
    ("AWS access key", "ASIA", f"[A-Z0-9]{{16}}(?!{_AN})"),
    ("Alibaba Cloud access key", "LTAI", _AN + "{12,}"),
    ("Tencent Cloud access key", "AKID", f"{_AN}{{32}}(?!{_AN})"),
    ("Volcengine access key", "AKLT", f"{_AN}{{30,}}={{0,2}}"),
    ("Baidu Cloud key", "ALTAK-", rf"{_AN}{{20,}}(?:\\?/|%2[Ff]){_AN}{{40,}}"),  # JSON may escape the slash
    ("GitHub token", "gh", f"[pousr]_{_AN}{{30,}}"),
    ("GitHub token", "github_pat_", "[A-Za-z0-9_]{30,}"),
    ("GitLab token", "glpat-", _B64 + "{20,}"),
    ("Slack token", "xox", "[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("Google API key", "AIza", _B64 + "{35}"),
    ("Google access token", "ya29.", _B64 + "{20,}"),
    ("Google client secret", "GOCSPX-", _B64 + "{20,}"),
    ("Hugging Face token", "hf_", _AN + "{30,}"),
    ("npm token", "npm_", _AN + "{36}"),
    ("PyPI token", "pypi-", _B64 + "{50,}"),
    ("SendGrid key", "SG.", rf"{_B64}{{16,}}\.{_B64}{{16,}}"),
    ("Databricks token", "dapi", f"[a-f0-9]{{32}}(?:-[0-9])?(?!{_AN})"),
    ("Vault token", "hvs.", _B64 + "{20,}"),
    ("Vault token", "hvb.", _B64 + "{20,}"),
    ("DigitalOcean token", "dop_v1_", "[a-f0-9]{40,}"),
    ("JSON web token", "eyJ", rf"{_B64}{{8,}}\.eyJ{_B64}{{8,}}\.{_B64}{{8,}}"),
)
"""The kind, prefix and remaining pattern of each format."""

_FORM = re.compile("|".join(f"({re.escape(mark)}(?:{rest}))" for _, mark, rest in FORMS).encode())
_BEGINNINGS = frozenset([*(mark[:2].encode() for _, mark, _ in FORMS), b"bo"])

_TELEGRAM = re.compile(rb"(?:^|[^0-9])([0-9]{6,12}:)\Z")
_TELEGRAM_KEY = re.compile(rb"AA[A-Za-z0-9_-]{32,34}(?![A-Za-z0-9_-])")
_BEARER = re.compile(rb"(?:^|[^A-Za-z])[Bb]earer(?:[ \t]{1,8}|\+|%20)\Z")
_BEARER_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]{20,}=*")
_SECRET_KEY = re.compile(rb"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_SECRET_NAME = re.compile(rb"(?i:secret).{0,40}\Z|A[KS]IA[A-Z0-9]{16}.{0,40}\Z", re.DOTALL)
ADDRESSES = (b"://", rb":\/\/")
_USER = re.compile(rb"([^\s/:@\"'<>\\]{0,100})(?::([^\s/@\"'<>\\]{0,200}))?@")
PRIVATE_KEY = "private key"
"""The kind of findings whose end is marked, and sure."""
_KEY_MARK = b"PRIVATE KEY"
_KEY_BEGINS = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY( BLOCK)?-----")
KEY_HEAD = b"-----BEGIN "
"""The beginning of a private key's header, and of similar headers without a secret, such as those of certificates."""
_KEY_ENDS = b"-----END "
_RULE = b"-----"

_UPPER, _LOWER, _DIGIT, _OTHER = b"A", b"a", b"0", b"/"
_CLASSES = bytes(
    ord("A" if chr(byte).isupper() else "a" if chr(byte).islower() else "0" if chr(byte).isdigit() else "/")
    if byte < 128
    else ord("/")
    for byte in range(256)
)
_CHANGES = re.compile(rb"(?=Aa|aA|A0|0A|a0|0a|/.|./)")
_MIN_CHANGES = 12

_IN_ROW, _BETWEEN, _OUTSIDE = b"a", b"b", b" "
_VIEW = bytes(
    _IN_ROW[0]
    if (chr(byte).isalnum() and byte < 128) or chr(byte) in "_-."
    else _BETWEEN[0]
    if chr(byte) in "/+"
    else _OUTSIDE[0]
    for byte in range(256)
)
_ROW = _IN_ROW * MIN_ROW_LENGTH
_AFTER_BEARER = frozenset({b"r ", b"r\t", b"r+", b"20"})
_JOINERS = (b"/", b"+")
_ESCAPES = (b"\\", b"%", b":")
_AWS_SECRET_LENGTH = 40
"""Characters of an AWS secret key."""


def find(text: str) -> list[Finding]:
    """Return the secrets in the text in order of position, without overlaps."""
    return without_overlaps(find_in(text.encode("ascii", "replace")))  # one byte for each character: places stay


def find_in(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Finding]:
    """Yield the secrets that begin in a part of the data, in no particular order; they may overlap."""
    stop = len(data) if stop is None else min(stop, len(data))
    if data.find(_KEY_MARK, start, stop + 64) >= 0:
        yield from _private_keys(data, start, stop)
    if data.find(b"@", start, stop + LOOKBEHIND) >= 0:  # the rarest of the characters, which is found fastest
        yield from _passwords(data, start, stop)
    yield from _rows(data, start, stop)


def without_overlaps(findings: Iterator[Finding]) -> list[Finding]:
    """Return findings in order of position; of overlapping ones, the one that begins first, and the rest of a key."""
    kept: list[Finding] = []
    last = 0
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if finding.start >= last:
            kept.append(finding)
        elif finding.kind == PRIVATE_KEY and finding.end > last:
            kept.append(replace(finding, start=last))
        last = max(last, kept[-1].end)
    return kept


def is_random(secret: bytes) -> bool:
    """Return whether the characters look random: no words, no placeholder."""
    if len(set(secret)) <= _MAX_PLACEHOLDER_CHARACTERS:
        return False
    longest = max(re.split(rb"[-_.]", secret), key=len)
    if len(longest) >= MIN_ROW_LENGTH:
        return True
    kinds = set(secret.translate(_CLASSES))
    has_digit = any(_DIGIT[0] == kind for kind in longest.translate(_CLASSES))
    return (len(longest) >= 10 and has_digit) or (len(secret) >= 40 and kinds >= set(b"Aa0"))


def _rows(data: bytes, first: int, stop: int) -> Iterator[Finding]:
    """Yield the secrets that begin in rows of letters, digits, `_`, `-` and `.`, or in rows joined by `/` and `+`.

    This loop determines the cost of a text of many long words, so it only looks closer at the positions that qualify.
    """
    base = max(0, first - LOOKBEHIND)
    view = data[base : stop + LOOKAHEAD].translate(_VIEW)
    place, limit = first - base, stop - base + MIN_ROW_LENGTH - 1
    while (start := view.find(_ROW, place, limit)) >= 0:
        end = view.find(_OUTSIDE, start)
        end = end if end >= 0 else len(view)
        row_end = view.find(_BETWEEN, start, end)
        row_end = row_end if row_end >= 0 else end
        at = base + start
        # A row that reaches into this part was searched where it began.
        if start > place or start == 0 or view[start - 1] != _IN_ROW[0]:
            before = data[at - 2 : at] if at > 1 else data[:at]
            if data[at : at + 2] in _BEGINNINGS or before[-1:] in _ESCAPES:
                yield from _in_row(data, at, base + row_end)
            dot = data.find(b".", at, base + row_end)
            while dot >= 0:
                if data[dot + 1 : dot + 3] in _BEGINNINGS:
                    yield from _formed(data, dot + 1)
                dot = data.find(b".", dot + 1, base + row_end)
            if before[-1:] in assignments.VALUE_PREFIXES:
                yield from _named(data, at)
            if before[1:] in _JOINERS or before in _AFTER_BEARER or end - start >= _AWS_SECRET_LENGTH:
                yield from _in_stretch(data, base + view.rfind(_OUTSIDE, 0, start) + 1, base + end)
        place = end if end - start > _MAX_STRETCH else row_end


def _named(data: bytes, start: int) -> Iterator[Finding]:
    span = assignments.find_at(data, start)
    if span is not None and is_random(data[span[0] : span[1]]):
        yield Finding("value named like a credential", *span)


def _in_row(data: bytes, start: int, end: int) -> Iterator[Finding]:
    before = data[max(0, start - 1) : start]
    if before == b"\\":
        # An escape before a secret must not count as part of its first word, like the n of \n in JSON.
        start += 5 if data[start : start + 1] == b"u" else 1
    elif before == b"%":
        start += 2
    elif before == b":":
        if (number := _TELEGRAM.search(data[max(0, start - 14) : start])) and (key := _TELEGRAM_KEY.match(data, start)):
            yield Finding("Telegram token", start - len(number[1]), key.end())
    elif data[start : start + 3] == b"bot":
        start += 3
    yield from _formed(data, start)


def _formed(data: bytes, start: int) -> Iterator[Finding]:
    if data[start : start + 2] not in _BEGINNINGS:
        return
    match = _FORM.match(data, start)
    if match is not None and match.lastindex is not None:
        kind, mark, _ = FORMS[match.lastindex - 1]
        if is_random(match[0][len(mark) :]):
            yield Finding(kind, start, match.end())


def _in_stretch(data: bytes, start: int, end: int) -> Iterator[Finding]:
    """Yield the secret that consists of rows joined by `/` and `+`."""
    if data[start - 1 : start] in (b" ", b"\t", b"+", b"0") and _BEARER.search(data[max(0, start - 16) : start]):
        token = _BEARER_TOKEN.match(data, start)
        if token and is_random(token[0]):
            yield Finding("bearer token", start, token.end())
    start = data.rfind(b"=", start, end - _AWS_SECRET_LENGTH) + 1 or start
    if end - start >= _AWS_SECRET_LENGTH and (key := _SECRET_KEY.match(data, start)) and _is_secret_key(data, key):
        yield Finding("AWS secret key", start, key.end())


def _is_secret_key(data: bytes, key: re.Match[bytes]) -> bool:
    classes = key[0].translate(_CLASSES)
    if not set(b"Aa0") <= set(classes) or len(_CHANGES.findall(classes)) < _MIN_CHANGES:
        return False
    # Without `/` or `+` it may be an ID, unless the text before names it.
    return _OTHER in classes or bool(_SECRET_NAME.search(data[max(0, key.start() - 80) : key.start()]))


def _passwords(data: bytes, start: int, stop: int) -> Iterator[Finding]:
    for mark in ADDRESSES:
        place = data.find(mark, start, stop + len(mark))
        while place >= 0:
            match = _USER.match(data, place + len(mark))
            if match is not None and match[2] and _is_password(match[2]):
                yield Finding("password in a URL", match.start(2), match.end(2))
            if (
                match is not None and assignments.is_mixed(match[1]) and is_random(match[1])
            ):  # APIs accept a token as the user name
                yield Finding("token in a URL", match.start(1), match.end(1))
            place = data.find(mark, place + len(mark), stop + len(mark))


def _is_password(secret: bytes) -> bool:
    return (
        len(secret) > 2 and secret.lower() not in _PLACEHOLDERS and len(set(secret)) > 1 and secret[:1] not in b"$<{[%*"
    )


def open_key(data: bytes) -> int:
    """Return how many bytes at the end may be a private key without its end; 0 if there is none."""
    start = data.rfind(KEY_HEAD, max(0, len(data) - _MAX_KEY_BLOCK))
    if start < 0 or ((end := data.find(_KEY_ENDS, start)) >= 0 and data.find(_RULE, end + len(_KEY_ENDS)) >= 0):
        return 0
    head = data[start : start + 100]
    is_key = _KEY_MARK in head or (len(head) < 60 and _RULE not in head[len(KEY_HEAD) :])
    return len(data) - start if is_key else 0


def _private_keys(data: bytes, start: int, stop: int) -> Iterator[Finding]:
    position = last = start  # where the search continues, and where the last key ends
    while (mark := data.find(_KEY_MARK, position, stop + 64)) >= 0:
        position = mark + len(_KEY_MARK)
        match = _KEY_BEGINS.search(data, max(last, mark - 60), mark + 40)
        if match is None or match.start() >= stop:
            continue
        # Without an end marker, everything that may be the key is included.
        limit = min(len(data), match.end() + _MAX_KEY_BLOCK)
        end = data.find(_KEY_ENDS, match.end(), limit)
        close = data.find(_RULE, end + len(_KEY_ENDS), limit) if end >= 0 else -1
        last = close + len(_RULE) if close >= 0 else limit
        position = max(position, last)
        yield Finding(PRIVATE_KEY, match.start(), last)

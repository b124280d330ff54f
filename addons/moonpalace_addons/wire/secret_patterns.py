"""Find what looks like a credential in a text, by the form that its issuer gives it.

Only forms that a machine made are found: a prefix that the issuer chose, enough characters after it, and a digit among
them, so that `sk-your-key-here` in a tutorial is none. What is found is right nearly always; what is not found may be a
secret all the same, such as a password in a sentence. The time is linear in the length of the text, whatever is in it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_DIGIT = re.compile(r"[0-9]")
_FEW = 6
"""So many different characters a random key has at least; `sk-xxxxxxxx0000` has fewer."""
_LONGEST_KEY_BLOCK = 20_000
"""Characters that a private key may have; RSA of 16,384 bits takes 13,000."""
_PLACEHOLDERS = frozenset({"***", "pass", "passwd", "password", "pw", "pwd", "secret", "xxx"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One secret: what it is, for people, and where it stands in the text."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Form:
    """One form: `mark` must be in the text for `pattern` to match, which is much faster to see.

    The secret is the group 1 of the pattern if it has one.
    """

    kind: str
    mark: str
    pattern: re.Pattern[str]
    accepts: Callable[[str], bool]


def _is_random(secret: str) -> bool:
    return _DIGIT.search(secret) is not None and len(set(secret)) > _FEW


def _is_password(secret: str) -> bool:
    return secret.lower() not in _PLACEHOLDERS and len(set(secret)) > 1 and secret[0] not in "$<{[%*"


def _form(kind: str, mark: str, pattern: str, accepts: Callable[[str], bool] = _is_random) -> _Form:
    return _Form(kind, mark, re.compile(pattern, re.ASCII), accepts)


# A look-behind lets a match begin only where a word does: each run of word characters is then read once.
_WORD = r"(?<![A-Za-z0-9_-])"
_FORMS = (
    _form("API key", "sk-", rf"{_WORD}sk-[A-Za-z0-9_-]{{16,}}"),
    _form("Stripe key", "k_live_", rf"{_WORD}[rs]k_live_[A-Za-z0-9]{{16,}}"),
    _form("AWS access key", "AKIA", rf"{_WORD}AKIA[A-Z0-9]{{16}}(?![A-Za-z0-9])"),
    _form("AWS access key", "ASIA", rf"{_WORD}ASIA[A-Z0-9]{{16}}(?![A-Za-z0-9])"),
    _form("GitHub token", "gh", rf"{_WORD}gh[pousr]_[A-Za-z0-9]{{30,}}"),
    _form("GitHub token", "github_pat_", rf"{_WORD}github_pat_[A-Za-z0-9_]{{30,}}"),
    _form("GitLab token", "glpat-", rf"{_WORD}glpat-[A-Za-z0-9_-]{{20,}}"),
    _form("Slack token", "xox", rf"{_WORD}xox[abeoprs]-[A-Za-z0-9-]{{10,}}"),
    _form("Google API key", "AIza", rf"{_WORD}AIza[A-Za-z0-9_-]{{35}}"),
    _form("Google access token", "ya29.", rf"{_WORD}ya29\.[A-Za-z0-9_-]{{20,}}"),
    _form("Hugging Face token", "hf_", rf"{_WORD}hf_[A-Za-z0-9]{{30,}}"),
    _form("npm token", "npm_", rf"{_WORD}npm_[A-Za-z0-9]{{36}}"),
    _form("PyPI token", "pypi-", rf"{_WORD}pypi-[A-Za-z0-9_-]{{50,}}"),
    _form("JSON web token", "eyJ", rf"{_WORD}eyJ[A-Za-z0-9_-]{{8,}}\.eyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]{{8,}}"),
    _form("bearer token", "earer", r"(?<![A-Za-z])[Bb]earer[ \t]{1,8}([A-Za-z0-9._~+/-]{20,}=*)"),
    _form("password in a URL", "://", r"://[^\s/:@\"'<>]{0,100}:([^\s/@\"'<>]{3,200})@", _is_password),
)
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY( BLOCK)?-----")
_KEY_ENDS = "-----END "
_RULE = "-----"


def find(text: str) -> list[Finding]:
    """Return the secrets in the text in the order in which they stand; they do not overlap."""
    found = sorted(_candidates(text), key=lambda finding: (finding.start, -finding.end))
    apart: list[Finding] = []
    for finding in found:
        if not apart or finding.start >= apart[-1].end:
            apart.append(finding)
    return apart


def _candidates(text: str) -> Iterator[Finding]:
    yield from _private_keys(text)
    for form in _FORMS:
        if form.mark not in text:
            continue
        group = form.pattern.groups
        for match in form.pattern.finditer(text):
            if form.accepts(match[group]):
                yield Finding(form.kind, match.start(group), match.end(group))


def _private_keys(text: str) -> Iterator[Finding]:
    position = 0
    while match := _KEY_BEGINS.search(text, position):
        # Without its end, what could be the key goes with its beginning.
        limit = min(len(text), match.end() + _LONGEST_KEY_BLOCK)
        end = text.find(_KEY_ENDS, match.end(), limit)
        close = text.find(_RULE, end + len(_KEY_ENDS), limit) if end >= 0 else -1
        position = close + len(_RULE) if close >= 0 else limit
        yield Finding("private key", match.start(), position)

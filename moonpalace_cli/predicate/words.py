r"""Find words in the messages and answers that bodies carry.

A word is a run of letters, digits and underscores; of Chinese, Japanese and Korean, each character is one. Case does
not count. Words in quotes, and words joined by anything but white space, stand one after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

KEYS = (
    *("content", "text", "reasoning_content", "reasoning", "thinking", "refusal", "arguments"),
    *("input", "output", "instructions", "prompt", "system"),
)
"""The members of JSON objects whose strings are searched."""

EAST_ASIAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
EAST_ASIAN += "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
WORD = re.compile(rf"[{EAST_ASIAN}]|[^\W{EAST_ASIAN}]+")
TERM = re.compile(r'"([^"]*)"|(\S+)')
MEMBER = re.compile(rf'"(?:{"|".join(KEYS)})"\s*:\s*"((?:[^"\\]|\\.)*+)"', re.DOTALL)

type Term = tuple[str, ...]
"""Words that stand one after the other."""

MOST_WORDS = 50


def terms(words: str) -> tuple[Term, ...]:
    """Return what is searched for; raises ValueError if there is no word in it, or too many."""
    found = [tuple(WORD.findall((quoted or plain).lower())) for quoted, plain in TERM.findall(words)]
    given = tuple(dict.fromkeys(term for term in found if term))
    if not given:
        raise ValueError("there is no word to search for")
    if sum(map(len, given)) > MOST_WORDS:
        raise ValueError(f"at most {MOST_WORDS} words can be searched for at once")
    return given


def pattern(term: Term) -> str:
    """Return the regular expression that finds a term in a text."""
    before = "" if is_east_asian(term[0]) else f"(?<![^\\W{EAST_ASIAN}])"
    after = "" if is_east_asian(term[-1]) else f"(?![^\\W{EAST_ASIAN}])"
    return before + r"\W*".join(map(re.escape, term)) + after


def postgresql_pattern(term: Term) -> str:
    """Return PostgreSQL's regular expression that finds a term in a text."""
    letter = f"(?![{EAST_ASIAN}])[[:alnum:]_]"
    before = "" if is_east_asian(term[0]) else f"(?<!(?![{EAST_ASIAN}])[[:alnum:]_])"
    after = "" if is_east_asian(term[-1]) else f"(?!{letter})"
    return f"***:{before}{'[^[:alnum:]_]*'.join(term)}{after}"


def is_east_asian(word: str) -> bool:
    """Tell whether a word is a single character of a script without spaces."""
    return re.match(f"[{EAST_ASIAN}]", word) is not None


@lru_cache(maxsize=16)
def finders(given: tuple[Term, ...]) -> tuple[re.Pattern[str], ...]:
    """Return what finds each term."""
    return tuple(re.compile(pattern(term), re.IGNORECASE) for term in given)


def occur(given: tuple[Term, ...], bodies: Sequence[str | None]) -> bool:
    """Tell whether each term occurs in a message or an answer of these bodies."""
    missing = list(finders(given))
    for text in (text for body in bodies if body for text in texts(body)):
        missing = [finder for finder in missing if finder.search(text) is None]
        if not missing:
            return True
    return False


def texts(body: str) -> Iterator[str]:
    """Give the strings of a JSON body that are searched."""
    for match in MEMBER.finditer(body):
        written = match[1]
        if "\\" not in written:
            yield written
            continue
        try:
            yield json.loads(f'"{written}"', strict=False)
        except ValueError:
            yield written

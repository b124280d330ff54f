r"""Find words in the messages and answers that bodies carry.

A word is a run of letters, digits and underscores. Of Chinese, Japanese and Korean, which have no spaces, a run of
characters is found within a longer one. Case does not count. Words in quotes, and words joined by anything but white
space, stand one after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

KEYS = (
    *("content", "text", "reasoning_content", "reasoning", "thinking", "refusal", "arguments"),
    *("input", "output", "instructions", "prompt", "system"),
)
"""The members of JSON objects whose strings are searched."""

EAST_ASIAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
EAST_ASIAN += "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
WORD = re.compile(rf"[{EAST_ASIAN}]+|[^\W{EAST_ASIAN}]+")
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


def rarest(given: Iterable[str]) -> str:
    """Return the word that fewest texts have, as far as its length tells; a character of Chinese counts for three."""
    return max(given, key=lambda word: len(word) * (3 if is_east_asian(word) else 1))


def pattern(term: Term) -> str:
    """Return the regular expression that finds a term in a text."""
    before = "" if is_east_asian(term[0]) else f"(?<![^\\W{EAST_ASIAN}])"
    after = "" if is_east_asian(term[-1]) else f"(?![^\\W{EAST_ASIAN}])"
    return before + joined([re.escape(word) for word in term], r"\W") + after


def joined(term: Sequence[str], gap: str) -> str:
    """Return the words with what stands between them: nothing need be between words of different kinds."""
    pairs = zip(("", *term), term, strict=False)
    return "".join(
        word if not last else f"{gap}{'*' if is_east_asian(last) or is_east_asian(word) else '+'}{word}"
        for last, word in pairs
    )


def postgresql_pattern(term: Term) -> str:
    """Return PostgreSQL's regular expression that finds a term in a text."""
    letter = f"(?![{EAST_ASIAN}])[[:alnum:]_]"
    before = "" if is_east_asian(term[0]) else f"(?<!(?![{EAST_ASIAN}])[[:alnum:]_])"
    after = "" if is_east_asian(term[-1]) else f"(?!{letter})"
    return f"***:{before}{joined(term, '[^[:alnum:]_]')}{after}"


def is_east_asian(word: str) -> bool:
    """Tell whether a word is of a script without spaces."""
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

r"""Find words in the messages and answers that bodies carry.

A word is a run of letters, digits and underscores. Of Chinese, Japanese and Korean, which have no spaces, a run of
characters is found within a longer one. Case does not count. Words in quotes, and words joined by anything but white
space, stand one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from moonpalace_addons.wire.chat.searched import texts
from moonpalace_addons.wire.words import EAST_ASIAN, WORD, is_east_asian

TERM = re.compile(r'"([^"]*)"|(\S+)')

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

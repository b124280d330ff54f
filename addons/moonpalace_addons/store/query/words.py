r"""Search for words in the messages and answers of bodies.

A word is a run of letters, digits and underscores. In Chinese, Japanese and Korean, which have no spaces, a run of
characters also matches inside a longer one. Case is ignored. Words in quotes, and words joined by anything but
whitespace, form a phrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from moonpalace_addons.wire.chat.searched import texts
from moonpalace_addons.wire.words import EAST_ASIAN, WORD, is_east_asian

TERM = re.compile(r'"([^"]*)"|(\S+)')

type Term = tuple[str, ...]
"""A word, or the words of a phrase."""

MAX_WORDS = 50


def terms(words: str) -> tuple[Term, ...]:
    """Return the terms of a search; raises ValueError if there is no word, or too many."""
    phrases = [tuple(WORD.findall((quoted or plain).lower())) for quoted, plain in TERM.findall(words)]
    distinct = tuple(dict.fromkeys(term for term in phrases if term))
    if not distinct:
        raise ValueError("there is no word to search for")
    if sum(map(len, distinct)) > MAX_WORDS:
        raise ValueError(f"at most {MAX_WORDS} words can be searched for at once")
    return distinct


def rarest(words: Iterable[str]) -> str:
    """Return the word that is probably the rarest: the longest, where an East Asian character counts three."""
    return max(words, key=lambda word: len(word) * (3 if is_east_asian(word) else 1))


def pattern(term: Term) -> str:
    """Return the regular expression that finds a term in a text."""
    before = "" if is_east_asian(term[0]) else f"(?<![^\\W{EAST_ASIAN}])"
    after = "" if is_east_asian(term[-1]) else f"(?![^\\W{EAST_ASIAN}])"
    return before + joined([spelled(word) for word in term], r"\W") + after


def spelled(word: str) -> str:
    """Return the regular expression that finds a word.

    Letters of ASCII match only one another: the condition that chooses bodies does not know that `İ` may match `i`.
    """
    return f"(?a:{word})" if word.isascii() else re.escape(word)


def joined(term: Sequence[str], gap: str) -> str:
    """Join words with a pattern for the gap, which may be empty next to East Asian characters."""
    pairs = zip(("", *term), term, strict=False)
    return "".join(
        word if not last else f"{gap}{'*' if is_east_asian(last) or is_east_asian(word) else '+'}{word}"
        for last, word in pairs
    )


def postgresql_pattern(term: Term) -> str:
    """Return the regular expression that finds a term in a text, in PostgreSQL's syntax."""
    letter = f"(?![{EAST_ASIAN}])[[:alnum:]_]"
    before = "" if is_east_asian(term[0]) else f"(?<!(?![{EAST_ASIAN}])[[:alnum:]_])"
    after = "" if is_east_asian(term[-1]) else f"(?!{letter})"
    return f"***:{before}{joined(term, '[^[:alnum:]_]')}{after}"


@lru_cache(maxsize=16)
def finders(terms: tuple[Term, ...]) -> tuple[re.Pattern[str], ...]:
    """Return a compiled regular expression for each term."""
    return tuple(re.compile(pattern(term), re.IGNORECASE) for term in terms)


def occur(terms: tuple[Term, ...], bodies: Sequence[str | None]) -> bool:
    """Return whether every term occurs in a message or an answer of these bodies."""
    missing = list(finders(terms))
    for text in (text for body in bodies if body for text in texts(body)):
        missing = [finder for finder in missing if finder.search(text) is None]
        if not missing:
            return True
    return False

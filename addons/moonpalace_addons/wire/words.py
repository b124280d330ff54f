"""Split texts into words, and words into the tokens of the search index.

A word is a run of letters, digits and underscores; Chinese, Japanese and Korean text, which has no spaces, forms runs
of its own. A token is a case-folded word, or one or two characters of such a run. If a search finds a word in a text,
all tokens of the word are among those of the text; the converse need not hold.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

EAST_ASIAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
EAST_ASIAN += "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
WORD = re.compile(rf"[{EAST_ASIAN}]+|[^\W{EAST_ASIAN}]+")
LETTERS = re.compile(rf"[^\W{EAST_ASIAN}]+")
ASCII_WORD = re.compile(r"\w+", re.ASCII)
EAST_ASIAN_START = re.compile(f"[{EAST_ASIAN}]")
NON_WORD = re.compile(rf"[^\w{EAST_ASIAN}]")

SLICE_LENGTH = 4_096
"""Approximate characters read in one step, which takes a millisecond at most."""

IOTA_BELOW = "\u0345"
"""The only character that is not a letter but matches as one in Python's regular expressions, a Greek iota."""


def is_east_asian(word: str) -> bool:
    """Return whether a word belongs to a script without spaces."""
    return EAST_ASIAN_START.match(word) is not None


def slices(text: str) -> Iterator[str]:
    """Cut a text between words into slices of about `SLICE_LENGTH` characters."""
    start = 0
    while start < len(text):
        gap = NON_WORD.search(text, start + SLICE_LENGTH)
        end = gap.end() if gap else len(text)
        yield text[start:end]
        start = end


def fold_case(word: str) -> str:
    """Return a word folded so that words match that any regular expression treats as equal but for case."""
    return word.lower() if word.isascii() else word.replace("İ", "i").replace("ı", "i").casefold()


def query_tokens(word: str) -> set[str]:
    """Return the tokens that every text has in which a search finds this word."""
    return east_asian_tokens(word) if is_east_asian(word) else {fold_case(word)}


def text_tokens(text: str) -> set[str]:
    """Return the tokens of a text, which must not contain `IOTA_BELOW`."""
    if text.isascii():
        return set(ASCII_WORD.findall(text.lower()))
    tokens = east_asian_tokens(text)
    for word in set(LETTERS.findall(text)):
        if word.isascii():
            tokens.add(word.lower())
        else:
            tokens |= word_variants(word)
    return tokens


def east_asian_tokens(text: str) -> set[str]:
    """Return each character of a script without spaces, and each pair of adjacent ones."""
    single = {character for character in set(text) if is_east_asian(character)}
    pairs = set(pairwise(text)) if single else ()
    return single.union(first + second for first, second in pairs if first in single and second in single)


def word_variants(word: str) -> set[str]:
    """Return the tokens of a word with letters beyond ASCII.

    Databases disagree on what a letter is: some exclude numbers such as ², and those without a locale know ASCII
    letters only. So the parts between such characters count as words too.
    """
    plain = "".join(character if is_letter(character) else " " for character in word)
    ascii_only = "".join(character if character.isascii() else " " for character in word)
    return {fold_case(word), *map(fold_case, plain.split()), *ascii_only.lower().split()}


def is_letter(character: str) -> bool:
    """Return whether every database treats a character as part of a word."""
    return character.isalpha() or character.isdecimal() or character == "_"

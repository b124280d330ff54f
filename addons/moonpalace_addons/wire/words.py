r"""The words of texts, and what an index has of them.

A word is a run of letters, digits and underscores; Chinese, Japanese and Korean, which have no spaces, make runs of
their own. A token stands for a word in whatever case, or for one or two characters of such a run. Every word that a
search finds in a text has all its tokens among those of the text; the opposite need not be so.
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
"""Characters that are looked at in one step, about: that takes a millisecond at most."""

IOTA_BELOW = "\u0345"
"""The one character that is no letter and that Python's regular expressions take for one, a Greek iota."""


def is_east_asian(word: str) -> bool:
    """Tell whether a word is of a script without spaces."""
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
    """Return a word so that those are the same that differ in case only, in the eyes of any regular expression."""
    return word.lower() if word.isascii() else word.replace("İ", "i").replace("ı", "i").casefold()


def query_tokens(word: str) -> set[str]:
    """Return the tokens that a text has if a search finds this word in it."""
    return east_asian_tokens(word) if is_east_asian(word) else {fold_case(word)}


def text_tokens(text: str) -> set[str]:
    """Return the tokens of a text, which must not hold `IOTA_BELOW`."""
    if text.isascii():
        return set(ASCII_WORD.findall(text.lower()))
    found = east_asian_tokens(text)
    for word in set(LETTERS.findall(text)):
        if word.isascii():
            found.add(word.lower())
        else:
            found |= word_variants(word)
    return found


def east_asian_tokens(text: str) -> set[str]:
    """Return each character of a script without spaces, and each two that follow each other."""
    single = {character for character in set(text) if is_east_asian(character)}
    pairs = set(pairwise(text)) if single else ()
    return single.union(first + second for first, second in pairs if first in single and second in single)


def word_variants(word: str) -> set[str]:
    """Return the tokens of a word with letters beyond ASCII.

    Databases differ in what they take for a letter: numbers like ² are none for some, and those that know no language
    know only the letters of ASCII. So what stands between such characters counts as words too.
    """
    plain = "".join(character if is_letter(character) else " " for character in word)
    ascii_only = "".join(character if character.isascii() else " " for character in word)
    return {fold_case(word), *map(fold_case, plain.split()), *ascii_only.lower().split()}


def is_letter(character: str) -> bool:
    """Tell whether everybody takes a character for a part of a word."""
    return character.isalpha() or character.isdecimal() or character == "_"

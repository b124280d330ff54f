"""Sentences of ours with values in them, in the language of the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

from moonpalace_cli.views.showing.chinese import CHINESE, OUTCOMES

ENGLISH, CHINESE_CODE = "en", "zh"
CLAUSE = "; "
"""What is between the clauses of a finished text, each of which has its own translation."""
MAX_FINISHED = 1000
"""Characters of a finished text that is translated: it may quote what others wrote."""


OURS = ("how", "side", "doubt", "what", "asked", "given")
"""Values of finished texts that are texts of ours too."""
QUOTED = ("error", "kind", "why", "problem", "kinds", "names", "path")
"""Values of finished texts, at their end, in which others may have written anything."""
NUMBERS = ("seconds", "count", "number", "spent", "all", "total", "sum", "size", "status", "code", "id")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence in English with names in braces; their values may be phrases, or several of them."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it in English."""
        return self.said(ENGLISH)

    def said(self, language: str) -> str:
        """Return it in a language, in English if there is no translation."""
        template = CHINESE.get(self.template, self.template) if language == CHINESE_CODE else self.template
        return template.format(**{name: shown(value, language) for name, value in self.values.items()})


def translated(text: str, language: str) -> str:
    """Return a finished text of ours in a language, as it is if there is no translation: an outcome, a warning."""
    return in_chinese(text) if language == CHINESE_CODE and len(text) <= MAX_FINISHED else text


@lru_cache(1024)
def in_chinese(text: str) -> str:
    """Return a finished text in Chinese, with the values that are in it; else clause by clause."""
    fixed, patterns = finished()
    if found := fixed.get(text):
        return found
    for pattern, chinese in patterns:
        if values := pattern.fullmatch(text):
            return chinese.format(**{name: told(name, value) for name, value in values.groupdict().items()})
    first, mark, rest = text.partition(CLAUSE)
    begun = in_chinese(first) if mark else first
    return text if begun == first else f"{begun}；{in_chinese(rest)}"


def told(name: str, value: str) -> str:
    """Return a value of a finished text: what others wrote stays as they wrote it, whatever it says."""
    return in_chinese(value) if name in OURS else value


@cache
def finished() -> tuple[Mapping[str, str], Sequence[tuple[re.Pattern[str], str]]]:
    """Return the finished texts without values, and what those with values look like, both with their Chinese."""
    from moonpalace_cli.views.showing.chinese_mistakes import MISTAKES  # what is English needs none of them
    from moonpalace_cli.views.showing.chinese_texts import TEXTS

    texts = {**TEXTS, **MISTAKES}
    patterns = [(pattern_of(english), chinese) for english, chinese in texts.items() if "{" in english]
    return {**texts, **OUTCOMES}, patterns


def pattern_of(template: str) -> re.Pattern[str]:
    """Return the pattern of the texts that a template makes, which takes time linear in the length of any text.

    A value ends where the text after it is first found, which its atomic group does not try again further on.
    """
    first, *pieces = re.split(r"\{(\w+)\}", template)
    pairs = list(zip(pieces[::2], pieces[1::2], strict=True))
    *others, last = [f"(?P<{name}>{value_of(name)}){re.escape(after)}" for name, after in pairs]
    return re.compile("".join([re.escape(first), *(f"(?>{each})" for each in others), last]))


def value_of(name: str) -> str:
    """Return the pattern of a value; a quoted one goes to the end, others have no end of a clause in them."""
    if name in NUMBERS:
        return r"[\d.,e+-]+"
    return "(?s:.+)" if name in QUOTED else f"(?:(?!{CLAUSE}).)+?"


def phrase(template: str, **values: object) -> Phrase:
    """Return a sentence with its values."""
    return Phrase(template, values)


NOTHING = Phrase("")


def shown(value: object, language: str) -> object:
    """Return a value in a language."""
    if isinstance(value, Phrase):
        return value.said(language)
    if isinstance(value, tuple):
        return ("；" if language == CHINESE_CODE else "; ").join(str(shown(each, language)) for each in value)
    return value


def listed(phrases: Sequence[Phrase], language: str = ENGLISH) -> str:
    """Return sentences as one, with commas between them."""
    return "".join(with_commas(phrases, language))


def with_commas(phrases: Sequence[Phrase], language: str) -> list[str]:
    """Return sentences, all but the last with a comma."""
    comma, last = "，" if language == CHINESE_CODE else ", ", len(phrases) - 1
    return [each.said(language) + comma * (place < last) for place, each in enumerate(phrases)]

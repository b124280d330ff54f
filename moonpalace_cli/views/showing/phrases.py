"""Sentences of ours with values in them, in the language of the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

from moonpalace_cli.views.showing.chinese import CHINESE, OUTCOMES

ENGLISH, CHINESE_CODE = "en", "zh"
CLAUSE = "; "
"""The separators of clauses in a finished text, each of which has its own translation."""
MAX_FINISHED = 1000
"""Maximum characters of a finished text that is translated: it may quote foreign text."""


OURS = ("how", "side", "doubt", "what", "asked", "given")
"""Values of finished texts that are translated, too."""
QUOTED = ("error", "kind", "why", "problem", "kinds", "names", "path")
"""Values at the end of finished texts that may contain any foreign text."""
NUMBERS = ("seconds", "count", "number", "spent", "all", "total", "sum", "size", "status", "code", "id")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence in English with names in braces; their values may be phrases, or sequences of phrases."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it in English."""
        return self.in_language(ENGLISH)

    def in_language(self, language: str) -> str:
        """Return the sentence in a language; in English if there is no translation."""
        template = CHINESE.get(self.template, self.template) if language == CHINESE_CODE else self.template
        return template.format(**{name: shown(value, language) for name, value in self.values.items()})


def translated(text: str, language: str) -> str:
    """Translate a finished text, such as an outcome or a warning; return it unchanged if there is no translation."""
    return in_chinese(text) if language == CHINESE_CODE and len(text) <= MAX_FINISHED else text


@lru_cache(1024)
def in_chinese(text: str) -> str:
    """Return a finished text in Chinese with its values, or else clause by clause."""
    fixed, patterns = finished()
    if translation := fixed.get(text):
        return translation
    for pattern, chinese in patterns:
        if values := pattern.fullmatch(text):
            return chinese.format(**{name: translated_value(name, value) for name, value in values.groupdict().items()})
    first, mark, rest = text.partition(CLAUSE)
    first_clause = in_chinese(first) if mark else first
    return text if first_clause == first else f"{first_clause}；{in_chinese(rest)}"


def translated_value(name: str, value: str) -> str:
    """Return a value of a finished text; foreign text is never translated."""
    return in_chinese(value) if name in OURS else value


@cache
def finished() -> tuple[Mapping[str, str], Sequence[tuple[re.Pattern[str], str]]]:
    """Return the finished texts without values, and patterns of those with values, both with their Chinese."""
    from moonpalace_cli.views.showing.chinese_mistakes import MISTAKES  # English output does not need them
    from moonpalace_cli.views.showing.chinese_texts import TEXTS

    texts = {**TEXTS, **MISTAKES}
    patterns = [(pattern_of(english), chinese) for english, chinese in texts.items() if "{" in english]
    return {**texts, **OUTCOMES}, patterns


def pattern_of(template: str) -> re.Pattern[str]:
    """Return a pattern for the texts of a template, which matches in linear time.

    A value ends at the first occurrence of the text that follows it; an atomic group prevents later attempts.
    """
    first, *pieces = re.split(r"\{(\w+)\}", template)
    pairs = list(zip(pieces[::2], pieces[1::2], strict=True))
    *others, last = [f"(?P<{name}>{value_of(name)}){re.escape(after)}" for name, after in pairs]
    return re.compile("".join([re.escape(first), *(f"(?>{each})" for each in others), last]))


def value_of(name: str) -> str:
    """Return the pattern of a value; a foreign one extends to the end, others contain no separator of clauses."""
    if name in NUMBERS:
        return r"[\d.,e+-]+"
    return "(?s:.+)" if name in QUOTED else f"(?:(?!{CLAUSE}).)+?"


def phrase(template: str, **values: object) -> Phrase:
    """Return a phrase with its values."""
    return Phrase(template, values)


NOTHING = Phrase("")


def shown(value: object, language: str) -> object:
    """Return a value in a language."""
    if isinstance(value, Phrase):
        return value.in_language(language)
    if isinstance(value, tuple):
        return ("；" if language == CHINESE_CODE else "; ").join(str(shown(each, language)) for each in value)
    return value


def listed(phrases: Sequence[Phrase], language: str = ENGLISH) -> str:
    """Join phrases by commas."""
    return "".join(with_commas(phrases, language))


def with_commas(phrases: Sequence[Phrase], language: str) -> list[str]:
    """Return phrases, all except the last followed by a comma."""
    comma, last = "，" if language == CHINESE_CODE else ", ", len(phrases) - 1
    return [each.in_language(language) + comma * (place < last) for place, each in enumerate(phrases)]

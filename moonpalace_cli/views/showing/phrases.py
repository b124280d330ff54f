"""Sentences of ours with values in them, in the language of the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from moonpalace_cli.views.showing.chinese import CHINESE

ENGLISH, CHINESE_CODE = "en", "zh"


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
        return translated(self.template, language).format(
            **{name: shown(value, language) for name, value in self.values.items()}
        )


def translated(text: str, language: str) -> str:
    """Return a text of ours in a language, as it is if there is no translation."""
    return CHINESE.get(text, text) if language == CHINESE_CODE else text


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

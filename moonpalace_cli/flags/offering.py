"""Suggest continuations of an unfinished predicate: fields, operators, and values of stored calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from moonpalace_addons.store.field import Field
from moonpalace_addons.store.fields import FIELDS, find
from moonpalace_addons.store.query.condition import check
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.query.expecting import Expected, expected
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import labels
from moonpalace_cli.flags.filters import quoted
from moonpalace_cli.flags.name_lists import PATHS

if TYPE_CHECKING:
    from sqlalchemy import Engine

MAX_OFFERS = 50
MAX_VALUE = 120
"""Maximum characters of a suggested value."""
OPERATORS = {
    "==": "equals",
    "!=": "does not equal",
    ">": "greater, later",
    ">=": "at least",
    "<": "less, earlier",
    "<=": "at most",
    "~": "contains; * at one end: only the other end",
    "!~": "does not contain",
    "%": "matches the regular expression",
    "!%": "does not match the regular expression",
    "@": "is one of",
    "!@": "is none of",
}
JOINTS = {"&&": "and", "||": "or"}
PROBES = ("1", "'x'", "true", "-1h", "['x']", "[1]")
"""Values of all kinds, to find out which operators a field supports."""
TIMES = {"-1h": "an hour ago", "-1d": "a day ago", "today": "", "yesterday": ""}
DURATIONS = ("500ms", "5s", "30s", "1m")
END_OF_WORD = re.compile(r"[\w.*]*")
END_OF_STRING = re.compile(r"""[^'"\s]*['"]?""")


@dataclass(frozen=True, slots=True)
class Offer:
    """A text to insert, and its meaning: an English text, or a number of calls."""

    text: str
    meaning: str | int = ""


@dataclass(frozen=True, slots=True)
class Offers:
    """The suggestions to replace the characters from `start` to `end`."""

    start: int
    end: int
    offers: list[Offer]


def offers(engine: Engine, text: str, place: int) -> Offers:
    """Return the suggestions at a position in a predicate; none if the text before it is invalid."""
    context = expected(text[:place])
    word = text[context.start : place]
    is_string = word[:1] in ("'", '"')
    rest = (END_OF_STRING if is_string else END_OF_WORD).match(text, place)
    end = rest.end() if rest and word else place
    some = [*fields(context, word), *operators(context, word), *joints(context, word, text[: context.start])]
    some += values(engine, context, word.lstrip("'\"").lower() if is_string else word.lower())
    return Offers(context.start, end, some[:MAX_OFFERS])


def fields(context: Expected, word: str) -> Iterator[Offer]:
    """Yield the fields and paths that begin with a word, then those that contain it elsewhere."""
    if "PATH" not in context.tokens or not (word == "" or word[0].isalpha()):
        return
    lower = word.lower()
    names = {name: field.meaning for name, field in FIELDS.items()} | dict.fromkeys(PATHS, "")
    preferred = [name for name in names if name == getattr(FIELDS.get(name), "name", name)]
    for name in sorted(names if word else preferred, key=lambda name: not name.startswith(lower)):
        if lower in name:
            yield Offer(f"{name} ", names[name])


def operators(context: Expected, word: str) -> Iterator[Offer]:
    """Yield the operators that the preceding field supports."""
    if "COMPARATOR" in context.tokens and context.field:
        for name in known_operators(context.field):
            if name.startswith(word) and name != word:
                yield Offer(f"{name} [" if "@" in name else f"{name} ", OPERATORS[name])


@lru_cache(maxsize=512)
def known_operators(path: str) -> tuple[str, ...]:
    """Return the operators that can compare the value at a path."""
    return tuple(name for name in OPERATORS if any(is_predicate(f"{path} {name} {probe}") for probe in PROBES))


def is_predicate(text: str) -> bool:
    """Return whether a text is a valid predicate."""
    try:
        check(text, "sqlite")
    except PredicateError:
        return False
    return True


def joints(context: Expected, word: str, before: str) -> Iterator[Offer]:
    """Yield the tokens that may follow a condition, or a value in a list."""
    space = "" if not before or before[-1].isspace() else " "
    if "AND" in context.tokens:
        yield from (Offer(f"{space}{name} ", meaning) for name, meaning in JOINTS.items() if name.startswith(word))
    if "RSQB" in context.tokens and "COMMA" in context.tokens and not word:
        yield from (Offer("]"), Offer(", "))


def values(engine: Engine, context: Expected, word: str) -> Iterator[Offer]:
    """Yield values for the field of the condition."""
    field = find(context.field or "")
    if field is None or "STRING" not in context.tokens:
        return
    if field.kind == "truth":
        yield from matching([Offer("true"), Offer("false")], word)
    elif field.kind == "moment":
        yield from matching([Offer(text, meaning) for text, meaning in TIMES.items()], word)
    elif field.unit:
        yield from matching(map(Offer, DURATIONS), word)
    else:
        yield from matching(stored(engine, field), word)


def stored(engine: Engine, field: Field) -> Iterator[Offer]:
    """Yield values of stored calls; numbers only if there are few."""
    if field.name == "tags":
        yield from (Offer(quoted(tag), calls) for tag, calls in labels.all_tags(engine, limit=MAX_OFFERS))
    elif field.source == "status_code" or field.kind == "text":
        for value, calls in selection.values_seen(engine, field):
            text = str(value)
            if text and len(text) <= MAX_VALUE and text.isprintable():
                yield Offer(text if isinstance(value, int) else quoted(text), calls)


def matching(some: Iterable[Offer], word: str) -> Iterator[Offer]:
    """Yield the suggestions that begin with a word, ignoring quotes, then those that contain it elsewhere."""
    named = [(each.text.lstrip("'").lower(), each) for each in some]
    ranked = sorted(named, key=lambda each: not each[0].startswith(word))
    yield from (each for text, each in ranked if word in text)

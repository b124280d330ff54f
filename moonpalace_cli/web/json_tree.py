"""JSON as a collapsible tree, with the original numbers, keys and order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from moonpalace_addons.wire.json_text import LEXEME, MAX_INDENT_DEPTH
from moonpalace_cli.web.texts import shown

MAX_TEXT = 4_000
"""Maximum characters of a string."""
MAX_NODES = 20_000
"""Maximum values that are shown; the raw text of a body has all of them."""
OPEN_DEPTH = 3
"""Levels that are initially open."""
MAX_OPEN = 60
"""Maximum elements of a list or an object that is initially open."""
CLOSING = {"{": "}", "[": "]"}


@dataclass(slots=True)
class Level:
    """An unfinished object or list; `key` is its own."""

    opening: str
    key: str
    lines: list[str] = field(default_factory=list)
    count: int = 0


class Tree:
    """Builds the HTML from the lexemes of valid JSON text."""

    def __init__(self) -> None:
        self._levels = [Level("", "")]
        self._key = ""
        self._flat: list[str] = []
        self._depth = 0
        self._nodes = 0

    def read(self, text: str) -> Markup:
        """Return the HTML of a text."""
        lexemes = LEXEME.findall(text)
        for place, lexeme in enumerate(lexemes):
            if self._depth:
                self._read_flat(lexeme)
            elif lexeme in "{[":
                self._open(lexeme)
            elif lexeme in "}]":
                self._close()
            elif lexeme.startswith('"') and lexemes[place + 1 : place + 2] == [":"]:
                self._key = f'<span class="jk">{string(lexeme)}</span>: '
            elif lexeme not in ",:":
                self._add(value(lexeme))
        return Markup("\n".join(self._levels[0].lines))  # noqa: S704 - all values are escaped

    def _open(self, lexeme: str) -> None:
        if len(self._levels) > MAX_INDENT_DEPTH:
            self._depth, self._flat = 1, [lexeme]
            return
        self._levels.append(Level(lexeme, self._take_key()))

    def _close(self) -> None:
        level = self._levels.pop()
        closing = CLOSING[level.opening]
        if not level.count:
            self._put(f"{level.key}{level.opening}{closing}")
            return
        is_open = len(self._levels) <= OPEN_DEPTH and level.count <= MAX_OPEN
        rest = level.count - len(level.lines)
        lines = [*level.lines, *([f'<div class="more">… {rest:,}</div>'] if rest else [])]
        self._put(
            f"<details{' open' if is_open else ''}><summary>{level.key}{level.opening}"
            f'<small class="jn">{level.count:,}</small></summary>{"".join(lines)}</details>{closing}'
        )

    def _read_flat(self, lexeme: str) -> None:
        """Put values that are nested too deeply on one line."""
        self._flat.append(lexeme)
        self._depth += (lexeme in "{[") - (lexeme in "}]")
        if not self._depth:
            self._add(cut("".join(self._flat)))

    def _add(self, html: str) -> None:
        self._put(self._take_key() + html)

    def _put(self, html: str) -> None:
        level = self._levels[-1]
        level.count += 1
        self._nodes += 1
        if self._nodes <= MAX_NODES or len(self._levels) == 1:
            level.lines.append(f'<div class="j">{html}</div>')

    def _take_key(self) -> str:
        key, self._key = self._key, ""
        return key


def tree(text: str) -> Markup:
    """Return valid JSON text as HTML."""
    return Tree().read(text)


def value(lexeme: str) -> str:
    """Return the HTML of a string, a number or a word."""
    kind = "js" if lexeme.startswith('"') else "jw" if lexeme in ("true", "false", "null") else "jd"
    return f'<span class="{kind}">{string(lexeme) if kind == "js" else cut(lexeme)}</span>'


def string(lexeme: str) -> str:
    """Return a JSON string with characters instead of escapes, unless they are invisible."""
    text = json.dumps(json.loads(lexeme), ensure_ascii=False) if "\\" in lexeme else lexeme
    return cut(text)


def cut(text: str) -> str:
    """Return a text for the page; the end of a very long one is left out."""
    rest = len(text) - MAX_TEXT
    if rest <= 0:
        return str(escape(shown(text)))
    return f'{escape(shown(text[:MAX_TEXT]))}<span class="more">… {rest:,}</span>'

"""Prepare texts for a page: show characters that hide or reorder others, and translate our own texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from moonpalace_addons.wire.escaping import escape
from moonpalace_cli.views.showing.phrases import translated
from moonpalace_cli.web.chinese import CHINESE

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0001-\U000e007f]"
)
"""Characters that a browser hides or that reorder a text: controls, directional overrides, surrogates.

Joiners and directional marks are kept, because emoji, Persian and Hebrew need them; pages isolate foreign texts from
what these reorder.
"""

type Translate = Callable[..., str]


def shown(text: str) -> str:
    """Return the text with JSON escapes for invisible characters."""
    return text if text.isascii() and text.isprintable() else HIDDEN.sub(escape, text)


def one_line(text: str) -> str:
    """Return the text with single spaces in place of all whitespace."""
    return " ".join(text.split())


def language(accepted: str) -> str:
    """Return "zh" or "en" for an Accept-Language header."""
    names = (name.partition("-")[0] for name in languages(accepted))
    return next((name for name in names if name in ("zh", "en")), "en")


def languages(accepted: str) -> Iterator[str]:
    """Yield the languages in an Accept-Language header, by their weights and order."""
    weighted = []
    for place, item in enumerate(accepted.lower().split(",")[:20]):
        name, _, weight = item.partition(";q=")
        try:
            weighted.append((-float(weight or 1), place, name.strip()))
        except ValueError:
            continue
    yield from (name for _, _, name in sorted(weighted))


def translator(name: str) -> Translate:
    """Return the function that translates our own texts; a text without a translation stays English."""

    def translate(text: str, **values: object) -> str:
        translation = (CHINESE.get(text) if name == "zh" else None) or translated(text, name)
        return translation.format(**values) if values else translation

    return translate

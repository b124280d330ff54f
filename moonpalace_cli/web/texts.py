"""Make texts fit for a page: what hides or reorders characters is shown, and users read their own language."""

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
"""Characters that a browser hides or that reorder a text: controls, overrides of the direction, surrogates.

Joiners and marks of direction stay, which emoji, Persian and Hebrew need; pages isolate what foreign texts reorder.
"""

type Translate = Callable[..., str]


def shown(text: str) -> str:
    """Return the text with JSON escapes for characters that are not seen."""
    return text if text.isascii() and text.isprintable() else HIDDEN.sub(escape, text)


def one_line(text: str) -> str:
    """Return the text with single spaces instead of all whitespace."""
    return " ".join(text.split())


def language(accepted: str) -> str:
    """Return "zh" or "en" for a header Accept-Language."""
    names = (name.partition("-")[0] for name in languages(accepted))
    return next((name for name in names if name in ("zh", "en")), "en")


def languages(accepted: str) -> Iterator[str]:
    """Yield what a header Accept-Language names, by its order and weights."""
    weighted = []
    for place, item in enumerate(accepted.lower().split(",")[:20]):
        name, _, weight = item.partition(";q=")
        try:
            weighted.append((-float(weight or 1), place, name.strip()))
        except ValueError:
            continue
    yield from (name for _, _, name in sorted(weighted))


def translator(name: str) -> Translate:
    """Return the function that translates our own texts; what has no translation stays English."""

    def translate(text: str, **values: object) -> str:
        found = (CHINESE.get(text) if name == "zh" else None) or translated(text, name)
        return found.format(**values) if values else found

    return translate

"""A body as shown on a page: JSON as a tree, other text unchanged, the size of other bytes."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from moonpalace_addons.wire.json_text import Verbatim
from moonpalace_cli.calls.content import Content, readable
from moonpalace_cli.web.json_tree import tree

MAX_TEXT = 200_000
"""Maximum characters of a text that are shown; the raw text has all of them."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body: the HTML of its JSON, or its text, without the last `rest` characters."""

    html: Markup | None
    text: str
    rest: int = 0


def body(content: Content) -> Body:
    """Return a body as shown on a page."""
    if isinstance(content, Verbatim):
        return Body(tree(content.text), "")
    text = readable(content)
    return Body(None, text[:MAX_TEXT], max(0, len(text) - MAX_TEXT))

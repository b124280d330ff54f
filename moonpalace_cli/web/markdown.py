"""Render Markdown of models and users as harmless HTML: no scripts, no styles, nothing fetched from elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup
from pygments import format  # noqa: A004 - its name
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from moonpalace_cli.web.texts import shown

MAX_MARKDOWN = 60_000
"""Maximum characters of a text that is rendered as Markdown; a longer one is shown as plain text."""
MAX_HIGHLIGHTED = 20_000
"""Maximum characters of code that is coloured."""
MAX_TIME = 0.1
"""Maximum seconds for colouring a piece of code; for some texts Pygments takes quadratic time."""
PREFIX = "c-"
"""The prefix of the classes of coloured code."""
TAGS = frozenset(
    [
        *(
            "a",
            "blockquote",
            "br",
            "code",
            "del",
            "em",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "hr",
            "li",
            "ol",
            "p",
            "pre",
        ),
        *("s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
    ]
)
ATTRIBUTES = {"a": {"href"}, "code": {"class"}, "span": {"class"}, "ol": {"start"}}
SCHEMES = frozenset({"http", "https", "mailto"})
"""For links, which the user has to click; `javascript:` and `data:` are not allowed."""


class Budget:
    """The amount of a page's text that is rendered as Markdown; the rest is plain text, so that the page is fast."""

    def __init__(self, characters: int) -> None:
        self.left = characters

    def takes(self, text: str) -> bool:
        """Return whether a text may be rendered as Markdown, and count it."""
        if len(text) > min(self.left, MAX_MARKDOWN):
            return False
        self.left -= len(text)
        return True


def rendered(text: str) -> Markup:
    """Return a text in Markdown as HTML."""
    html = parser().render(shown(text))
    clean = nh3.clean(
        html,
        tags=set(TAGS),
        attributes={name: set(names) for name, names in ATTRIBUTES.items()},
        url_schemes=set(SCHEMES),
        link_rel="noopener noreferrer nofollow",
        attribute_filter=filtered,
    )
    return Markup(clean)  # noqa: S704 - sanitised


@cache
def parser() -> MarkdownIt:
    """Return the parser: CommonMark with tables and without HTML; images are links, which fetch nothing."""
    markdown = MarkdownIt("commonmark", {"html": False, "highlight": highlighted})
    return markdown.enable(["table", "strikethrough"]).disable(["image", "html_block", "html_inline"])


def filtered(tag: str, name: str, value: str) -> str | None:
    """Return the value of an attribute; None removes it. Only our own classes and absolute links are kept."""
    if name == "class":
        return value if value.startswith((PREFIX, "language-")) and value.isascii() and " " not in value else None
    if name in ("title", "lang"):  # nh3 allows them for every tag
        return None
    if name == "href" and not value.lower().startswith(("http://", "https://", "mailto:")):
        return None  # a link without a scheme would be an address of the console
    return value


def highlighted(code: str, name: str, _: str) -> str:
    """Return code with its tokens in spans; empty if it is not coloured, so that the parser escapes it."""
    lexer_name = LEXERS.get(name.lower())
    if lexer_name is None or len(code) > MAX_HIGHLIGHTED:
        return ""
    lexer = get_lexer_by_name(lexer_name, stripnl=False, ensurenl=False)
    try:
        tokens = list(in_time(lexer.get_tokens(code)))
    except TimeoutError:
        return ""
    return str(format(tokens, HtmlFormatter(nowrap=True, classprefix=PREFIX)))


def in_time[T](items: Iterable[T]) -> Iterator[T]:
    """Yield items; raise TimeoutError once `MAX_TIME` has been spent on them."""
    end = time.thread_time() + MAX_TIME
    for item in items:
        if time.thread_time() > end:
            raise TimeoutError
        yield item


NAMED = (
    *(
        "bash",
        "c",
        "cpp",
        "csharp",
        "css",
        "diff",
        "docker",
        "go",
        "html",
        "ini",
        "java",
        "javascript",
        "json",
        "kotlin",
    ),
    *("lua", "make", "nginx", "php", "python", "ruby", "rust", "scala", "sql", "swift", "toml", "typescript", "xml"),
    "yaml",
)
LEXERS: Mapping[str, str] = {
    **{name: name for name in NAMED},
    "sh": "bash",
    "shell": "bash",
    "zsh": "bash",
    "console": "bash",
    "py": "python",
    "python3": "python",
    "js": "javascript",
    "jsx": "javascript",
    "ts": "typescript",
    "tsx": "typescript",
    "yml": "yaml",
    "c++": "cpp",
    "rs": "rust",
    "golang": "go",
    "dockerfile": "docker",
    "patch": "diff",
    "cs": "csharp",
    "jsonl": "json",
    "json5": "json",
    "kt": "kotlin",
    "rb": "ruby",
    "makefile": "make",
}
"""The languages that are coloured, by the names that models give them."""

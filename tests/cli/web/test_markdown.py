"""Markdown of models as harmless HTML."""

import re
import time

import pytest

from moonpalace_cli.web.markdown import MAX_MARKDOWN, Budget, rendered
from tests.cli.web.samples import CODE, HOSTILE, OVERRIDE

TAGS = re.compile(r"<[^>]*>")
PLAIN = re.compile(
    r"</?(a|blockquote|br|code|del|em|h\d|hr|li|ol|p|pre|s|span|strong|table|tbody|td|th|thead|tr|ul)"
    r'( (href|rel|class|start)="[^"]*")*/?>'
)
"""Tags that neither run nor load anything."""


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "<svg onload=alert(1)>",
        "<style>*{display:none}</style><iframe src=//x>",
        "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,x) [d](vbscript:x) [e](/calls/1/labels)",
        "[a](&#106;avascript:alert(1)) [b](java\tscript:alert(1)) <javascript:alert(1)>",
        "![x](http://attacker.invalid/pixel.png)",
        '```python" onclick="alert(1)\nprint(1)\n```',
        "```html\n<script>alert(1)</script>\n```",
        f"{OVERRIDE}\n\n    {OVERRIDE}",
        "[x]: javascript:alert(1)\n[x]",
        '[a](http://x "title\\" onmouseover=alert(1)")',
        "<" * 2000,
        "[" * 5000,
        "> " * 3000 + "x",
    ],
)
def test_nothing_runs(text: str) -> None:
    """Whatever a model writes becomes text, links to click, and colours."""
    html = str(rendered(text))
    assert [tag for tag in TAGS.findall(html) if not PLAIN.fullmatch(tag)] == []
    assert not re.search(r'href="(?!https?://|mailto:)', html), html
    assert "\u202e" not in html
    assert "<img" not in html


def test_a_usual_answer() -> None:
    """Headings, tables, lists and code are what they are, and code is coloured by classes."""
    html = str(rendered(CODE))
    for part in (
        "<strong>one</strong>",
        "<table>",
        "<ol>",
        'class="language-python"',
        '<span class="c-k">class</span>',
    ):
        assert part in html
    assert '<a href="https://example.org/tests" rel="noopener noreferrer nofollow">' in html


def test_what_is_hidden_is_shown() -> None:
    """Directional overrides are visible; joiners of emoji are kept."""
    assert "\\u202egnp.exe\\u202c" in rendered(OVERRIDE)
    assert "👨\u200d👩" in rendered("👨\u200d👩")


def test_a_budget_ends() -> None:
    """Long texts, and those beyond the budget, are not rendered as Markdown."""
    budget = Budget(2 * MAX_MARKDOWN)
    assert not budget.takes("x" * (MAX_MARKDOWN + 1))
    assert [budget.takes("x" * MAX_MARKDOWN) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("code", ["cpp\n" + "\n" * 15_000, "javascript\n" + '"\\' * 7_500])
def test_colours_that_take_long_are_left_out(code: str) -> None:
    """Code for which Pygments takes quadratic time is shown quickly, without colours."""
    began = time.thread_time()
    html = rendered(f"```{code}\n```\n")
    assert time.thread_time() - began < 1.5
    assert "c-" not in html

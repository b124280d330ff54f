"""Texts for pages."""

import re
from pathlib import Path

import pytest

from moonpalace_cli import web
from moonpalace_cli.flags.offering import JOINTS, OPERATORS, TIMES
from moonpalace_cli.redaction.summary import COMMA, KEPT, KEPT_TEXT, MORE, REPLACED
from moonpalace_cli.web.buttons import fixed
from moonpalace_cli.web.chinese import CHINESE
from moonpalace_cli.web.tabs import TABS
from moonpalace_cli.web.texts import language, shown, translator

FOLDER = Path(web.__path__[0])
USED = re.compile(r"_\('([^']+)'")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("en;q=0.5, zh;q=0.7", "zh"),
        ("fr, zh-TW;q=0.4", "zh"),
        ("fr", "en"),
        ("zh;q=x", "en"),
        (",;q=,", "en"),
    ],
)
def test_language(header: str, expected: str) -> None:
    """The language is the first supported one that the browser requests."""
    assert language(header) == expected


def test_all_texts_have_chinese() -> None:
    """Every text of a template, tab, button, completion and redaction has a translation."""
    used = {text for file in (FOLDER / "templates").glob("*.html") for text in USED.findall(file.read_text())}
    used |= {tab.title for tab in TABS.values()} | {name for name, _ in fixed()}
    used |= {*OPERATORS.values(), *JOINTS.values(), *filter(None, TIMES.values())}
    used |= {REPLACED, KEPT, KEPT_TEXT, MORE, COMMA}
    assert len(used) > 80
    assert used - CHINESE.keys() == set()


def test_foreign_texts_are_not_filled_in() -> None:
    """Braces in foreign text have no meaning."""
    assert translator("zh")("{0.__class__}") == "{0.__class__}"


def test_hidden_characters() -> None:
    """Control characters and surrogates are shown as escapes, letters of any script are kept."""
    assert shown("a\x00\x1b\u202e\ud800月👩\u200d🔬\n\t") == "a\\u0000\\u001b\\u202e\\ud800月👩\u200d🔬\n\t"

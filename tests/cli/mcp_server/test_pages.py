"""Answers keep to their budget, and cursors lead through a whole text."""

import re

import pytest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.mcp_server.pages import BYTES_PER_TOKEN, MAX_TOKENS, MIN_TOKENS, page
from moonpalace_cli.mcp_server.quoting import MARK, quoted

TEXTS = {
    "one long line": "0123456789" * 2000,
    "many short lines": "\n".join(map(str, range(4000))),
    "Chinese": "月之暗面的宫殿" * 1000,
    "emoji": "🌕🌖🌗" * 2000,
    "empty": "",
    "mixed": ("a" * 5000 + "\n\n月\n") * 3,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("budget", [MIN_TOKENS, 301, 302, 1000])
def test_pages_add_up_to_the_text(text: str, budget: int) -> None:
    """Each page keeps to the budget, and all of them together are the text, without repetitions or gaps."""
    lines, found, cursor = quoted(text), "", None
    for _ in range(1000):
        shown = page(lines, budget, cursor)
        assert len(shown.encode()) <= budget * BYTES_PER_TOKEN
        _rule, *pieces = shown.split("\n")
        more = re.search(r'cursor "(\d+)\.(\d+)"', pieces[-1]) if pieces else None
        pieces = pieces[:-1] if more else pieces
        found += "\n".join(piece.removeprefix(MARK) for piece in pieces)
        if more is None:
            break
        found += "" if int(more[2]) else "\n"
        cursor = f"{more[1]}.{more[2]}"
    assert found == text


def test_the_largest_budget_is_kept() -> None:
    """Two megabytes in one line fill exactly the largest budget."""
    shown = page(quoted("x" * 2_000_000), MAX_TOKENS, None)
    assert MAX_TOKENS * BYTES_PER_TOKEN * 0.99 < len(shown.encode()) <= MAX_TOKENS * BYTES_PER_TOKEN


@pytest.mark.parametrize("cursor", ["x", "1", "-1.0", "9.0", "0.99", "0.1", "1.2.3", "٣.0"])
def test_a_cursor_of_another_text_is_refused(cursor: str) -> None:
    """A cursor that no page has returned is refused."""
    with pytest.raises(MoonPalaceError, match="the cursor does not belong to this answer"):
        page(["| abc"], MIN_TOKENS, cursor)

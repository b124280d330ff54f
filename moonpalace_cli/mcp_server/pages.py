"""Fit answers into a token budget, and let the caller ask for the rest.

Tokens are estimated: three bytes of UTF-8 count as one, which is one Chinese character, and less English or code than a
token usually has.
"""

import re
from collections.abc import Sequence

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.mcp_server.quoting import MARK, RULE

BYTES_PER_TOKEN = 3
MIN_TOKENS, DEFAULT_TOKENS, MAX_TOKENS = 300, 4000, 100_000
LAST_LINE = 120
"""Bytes reserved for the line that says how to continue."""
MIN_PIECE = 60
"""Minimum bytes of a long line that are worth showing at the end of a page."""
CURSOR = re.compile(r"([0-9]{1,9})\.([0-9]{1,12})")


class Page:
    """The lines of an answer that fit into the budget."""

    def __init__(self, max_tokens: int) -> None:
        self._lines = [RULE]
        self.left = max_tokens * BYTES_PER_TOKEN - len(RULE.encode()) - LAST_LINE

    def add(self, line: str) -> bool:
        """Add a line if there is room for it, and return whether there was."""
        size = len(line.encode()) + 1
        if size > self.left:
            return False
        self._lines.append(line)
        self.left -= size
        return True

    def add_beginning(self, line: str) -> int:
        """Add the beginning of a line that does not fit; return its length in characters."""
        beginning = line[: self.left].encode()[: self.left - 1].decode(errors="ignore")
        self.add(beginning)
        return len(beginning)

    def text(self, rest: str = "") -> str:
        """Return the answer; its last line says how to get the rest, if there is any."""
        return "\n".join([*self._lines, *([f"There is more{rest}"] if rest else [])])


def with_cursor(cursor: str) -> str:
    """Return the hint on how to get the rest of an answer."""
    return f': call again with cursor "{cursor}".'


def page(lines: Sequence[str], max_tokens: int, cursor: str | None, start: int = 0, *, rest: str | None = None) -> str:
    """Return the part of a document that begins at the cursor, without one at line `start`.

    `rest` says how to get the rest if there is no cursor. The lines are our own, which are short, or quoted ones of any
    length.
    """
    number, character = place_of(cursor, lines) if cursor else (start, 0)
    answer = Page(max_tokens)
    while number < len(lines):
        line = MARK + lines[number][character:] if character else lines[number]
        if not answer.add(line):
            if line.startswith(MARK) and answer.left >= MIN_PIECE:
                character += answer.add_beginning(line) - (len(MARK) if character else 0)
            remaining = f", {len(lines) - number:,} of {len(lines):,} lines"
            return answer.text(remaining + (rest or with_cursor(f"{number}.{character}")))
        number, character = number + 1, 0
    return answer.text()


def place_of(cursor: str, lines: Sequence[str]) -> tuple[int, int]:
    """Return the line and the character that a cursor refers to."""
    match = CURSOR.fullmatch(cursor)
    number, character = (int(match[1]), int(match[2])) if match else (-1, 0)
    if not (0 <= number < len(lines) and (character == 0 or len(MARK) <= character <= len(lines[number]))):
        raise MoonPalaceError("the cursor does not belong to this answer: call without it to start over")
    return number, character

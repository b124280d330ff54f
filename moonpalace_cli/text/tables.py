"""Draw boxed tables, aligned and wrapped by the display width of characters."""

import re
from collections.abc import Collection, Sequence

from moonpalace_cli.deferred_imports import defer

STYLE = re.compile("\x1b\\[[0-9;]*m")
"""Our own colours; foreign text has passed `output.visible`, which leaves no escapes."""

CJK = "\u2e80-\u303f\u3041-\u3096\u30a0-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60"
BREAK = re.compile(
    rf" |(?<![ (（「『【《])(?:(?<=[{CJK}])(?=[!-~{CJK}])|(?<=[!-~])(?=[{CJK}]))(?![，。；：！？、）」』】》,.;:!?)%])"
)
"""A place where a line may end; punctuation stays with the text that it belongs to."""

MAX_CLUSTER_LENGTH = 32
"""Maximum characters per column, including marks and joiners."""


def box(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return a table with a frame; cells may have several lines. `right` lists the columns of numbers."""
    # 0.05 s for the tables of wide characters, and most listings are ASCII.
    defer("wcwidth")
    # 0.04 s, which `mpal --help` need not pay.
    import tabulate

    tabulate.WIDE_CHARS_MODE = not all(cell.isascii() for row in (headers, *rows) for cell in row)
    return tabulate.tabulate(
        rows,
        headers,
        tablefmt="pretty",
        colalign=["right" if place in right else "left" for place in range(len(headers))],
        disable_numparse=True,
        preserve_whitespace=True,
    )


def natural_widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column's widest line."""
    columns = zip(headers, *rows, strict=True)
    return [max(display_width(line) for cell in column for line in cell.split("\n")) for column in columns]


def rule(widths: Sequence[int]) -> str:
    """Return the line between the parts of a table."""
    return "+" + "+".join("-" * (width + 2) for width in widths) + "+"


def row_lines(row: Sequence[Sequence[str]], widths: Sequence[int], right: Collection[int] = ()) -> str:
    """Return a row of a table from the lines of its cells; a line wider than its column shifts the others."""
    height = max(len(lines) for lines in row)
    filled = [[*lines, *[""] * (height - len(lines))] for lines in row]
    return "\n".join(
        "| " + " | ".join(pad(line, widths[place], right=place in right) for place, line in enumerate(level)) + " |"
        for level in zip(*filled, strict=True)
    )


def frame_width(columns: int) -> int:
    """Return the number of terminal columns that the frame of such a table takes."""
    return len("| ") + len(" | ") * (columns - 1) + len(" |")


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Pad the text with spaces to a display width, on its left if it is right-aligned."""
    spaces = " " * (width - display_width(text))
    return spaces + text if right else text + spaces


def display_width(text: str) -> int:
    """Return the display width of the text, which may contain our own colours as its only escapes."""
    if "\x1b" in text:
        text = STYLE.sub("", text)
    if text.isascii():
        return len(text)
    # 0.05 s, and most listings are ASCII.
    from wcwidth import wcswidth

    return max(0, wcswidth(text))


def fold(line: str, width: int) -> list[str]:
    """Return the line in pieces of at most `width` columns, broken at spaces and beside Chinese where possible."""
    pieces, start = list[str](), 0
    while (end := end_of_piece(line, start, width)) < len(line):
        end = last_break(line, start, end)
        pieces.append(line[start:end])
        start = end + (line[end] == " ")
    return [*pieces, line[start:]]


def last_break(line: str, start: int, end: int) -> int:
    """Return where to break before `end`: at `end` if there is no better position in the second half of the piece."""
    middle = (start + end + 1) // 2
    if line[middle - 1 : end + 1].isascii():
        space = line.rfind(" ", middle, end + 1)
        return end if space < 0 else space
    return next((place for place in range(end, middle - 1, -1) if BREAK.match(line, place)), end)


def cut(line: str, width: int) -> list[str]:
    """Return the line in pieces of at most `width` columns; combining characters stay with their base."""
    pieces, start = list[str](), 0
    while start < len(line):
        end = end_of_piece(line, start, width)
        pieces.append(line[start:end])
        start = end
    return pieces or [""]


def end_of_piece(line: str, start: int, width: int) -> int:
    """Return the end of a piece of `width` columns from `start`; it has at least one character."""
    if line[start : start + width + 1].isascii():
        return min(start + max(1, width), len(line))
    from wcwidth import iter_graphemes, wcswidth

    used, end = 0, start
    # A longer piece consists mostly of combining characters; then it ends a little early.
    for character in iter_graphemes(line[start : start + MAX_CLUSTER_LENGTH * (width + 1)]):
        columns = max(0, wcswidth(character))
        if used + columns > width and used:
            return end
        used += columns
        end += len(character)
    return end


def share(natural: Sequence[int], available: int) -> list[int]:
    """Return widths that sum up to at most `available`: narrow columns keep theirs, the others share the rest."""
    widths = dict[int, int]()
    order = sorted(range(len(natural)), key=lambda column: natural[column])
    for place, column in enumerate(order):
        fair = (available - sum(widths.values())) // (len(order) - place)
        widths[column] = max(1, min(natural[column], fair))
    return [widths[column] for column in range(len(natural))]

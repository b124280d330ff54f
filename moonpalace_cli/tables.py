"""Draw boxed tables, aligned and wrapped by the width that a terminal gives each character."""

from collections.abc import Sequence

from moonpalace_cli.deferred_imports import defer


def box(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a frame, left-aligned; cells may have several lines."""
    # 0.05 s for the tables of wide characters, and most listings are ASCII.
    defer("wcwidth")
    # 0.04 s, which `mpal --help` need not pay.
    import tabulate

    tabulate.WIDE_CHARS_MODE = not all(cell.isascii() for row in (headers, *rows) for cell in row)
    tabulate.PRESERVE_WHITESPACE = True  # pretty-printed JSON is indented
    return tabulate.tabulate(rows, headers, tablefmt="pretty", stralign="left", disable_numparse=True)


def frame_width(columns: int) -> int:
    """Return the columns that the frame of such a table takes itself."""
    return len("| ") + len(" | ") * (columns - 1) + len(" |")


def pad(text: str, width: int) -> str:
    """Return the text filled up with spaces to a display width."""
    return text + " " * (width - display_width(text))


def display_width(text: str) -> int:
    """Return the columns that a terminal gives the text, which must hold no control characters."""
    if text.isascii():
        return len(text)
    # 0.05 s, and most listings are ASCII.
    from wcwidth import wcswidth

    return max(0, wcswidth(text))


def wrap(text: str, width: int) -> str:
    """Return the text cut hard into lines of at most `width` columns; leading spaces stay where they are."""
    return "\n".join(piece for line in text.split("\n") for piece in cut(line, width))


def cut(line: str, width: int) -> list[str]:
    """Return the line in pieces of at most `width` columns; what combines with a character stays with it."""
    if line.isascii():
        return [line[start : start + width] for start in range(0, len(line), width)] or [""]
    from wcwidth import wcwidth

    pieces, start, used = [], 0, 0
    for position, character in enumerate(line):
        columns = max(0, wcwidth(character))
        joined = position > 0 and line[position - 1] == "\u200d"
        if used + columns > width and used and not joined:
            pieces.append(line[start:position])
            start, used = position, 0
        used += 0 if joined else columns
    pieces.append(line[start:])
    return pieces


def share(natural: Sequence[int], available: int) -> list[int]:
    """Return widths that sum up to at most `available`: narrow columns keep theirs, the others share the rest."""
    widths = dict[int, int]()
    order = sorted(range(len(natural)), key=lambda column: natural[column])
    for place, column in enumerate(order):
        fair = (available - sum(widths.values())) // (len(order) - place)
        widths[column] = max(1, min(natural[column], fair))
    return [widths[column] for column in range(len(natural))]

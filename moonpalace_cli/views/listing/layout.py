"""Fit tables of calls into the width of a terminal."""

from collections.abc import Sequence

from moonpalace_addons.store.fields import FIELDS, Fit
from moonpalace_cli.output import ellipsis
from moonpalace_cli.text.tables import box, cut, display_width, fold, frame_width, pad, share

COMFORTABLE = 12
MIN_WIDTH = 8


def lay_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, headers: Sequence[str] = ()
) -> str:
    """Return the table unchanged if it fits or `width` is None, else narrower, else as a block for each row.

    The names of the `columns` determine which may shrink; `headers` replace them in the output.
    """
    headers = headers or columns
    if width is None or fits(headers, rows, width):
        return box(headers, rows)
    narrow = shorten(columns, rows, width, COMFORTABLE, headers)
    if narrow is None:
        broken = [
            [break_words(cell) if fit(column) == "break" else cell for column, cell in zip(columns, row, strict=True)]
            for row in (headers, *rows)
        ]
        narrow = shorten(columns, broken[1:], width, MIN_WIDTH, broken[0])
    return narrow if narrow is not None else blocks(headers, rows)


def fit(column: str) -> Fit:
    """Return how a column may shrink."""
    return FIELDS[column].fitting if column in FIELDS else "whole"


def fits(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Tell whether the table is at most `width` columns wide."""
    return sum(natural_widths(headers, rows)) + frame_width(len(headers)) <= width


def natural_widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column's widest line."""
    columns = zip(headers, *rows, strict=True)
    return [max(display_width(line) for cell in column for line in cell.split("\n")) for column in columns]


def shorten(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, shortest: int, headers: Sequence[str]
) -> str | None:
    """Return the table with the columns that give way made to fit, None if one would get less than `shortest`."""
    widths = fitted(columns, natural_widths(headers, rows), width, shortest)
    if widths is None:
        return None
    head, *body = (
        [
            shorten_cell(cell, fit(column), widths[place])
            for place, (column, cell) in enumerate(zip(columns, row, strict=True))
        ]
        for row in (headers, *rows)
    )
    return box(head, body)


def fitted(columns: Sequence[str], natural: Sequence[int], width: int, shortest: int) -> list[int] | None:
    """Return the widths of the columns in a table of `width`, None if one that gives way gets less than `shortest`."""
    elastic = [place for place, column in enumerate(columns) if fit(column) in ("shorten", "wrap")]
    fixed = sum(natural) - sum(natural[place] for place in elastic) + frame_width(len(columns))
    given = dict(zip(elastic, share([natural[place] for place in elastic], width - fixed), strict=True))
    if fixed > width or any(given[place] < min(shortest, natural[place]) for place in elastic):
        return None
    return [given.get(place, columns_) for place, columns_ in enumerate(natural)]


def shorten_cell(text: str, how: Fit, width: int) -> str:
    """Return the text as it goes into a column of `width`."""
    if how == "wrap":
        return "\n".join(piece for line in text.split("\n") for piece in fold(line, width))
    if how == "shorten":
        return "\n".join(shorten_line(line, width) for line in text.split("\n"))
    return text


def shorten_line(text: str, width: int) -> str:
    """Return the text with its middle replaced by an ellipsis where it is wider than `width`."""
    if display_width(text) <= width:
        return text
    head = width // 2
    tail = width - head - 1
    return cut(text, head)[0] + ellipsis() + cut(text[::-1], tail)[0][::-1]


def break_words(text: str) -> str:
    """Return the text with a line for each of its words."""
    return text.replace("_", "_\n")


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a line for each cell, and a blank line between rows."""
    return "\n\n".join(block(columns, row) for row in rows)


def block(columns: Sequence[str], row: Sequence[str]) -> str:
    """Return a line for each cell; the further lines of a cell stand under its first."""
    longest = max(len(column) for column in columns)
    indent = "\n" + " " * (longest + 2)
    return "\n".join(
        f"{pad(column, longest)}  {cell.replace('\n', indent)}".rstrip()
        for column, cell in zip(columns, row, strict=True)
    )

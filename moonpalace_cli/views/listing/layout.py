"""Fit tables of calls into the width of a terminal."""

from collections.abc import Collection, Sequence

from moonpalace_addons.store.field import Fit
from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.wire.columns import ELLIPSIS, shortened
from moonpalace_cli.output import ellipsis
from moonpalace_cli.text.colours import paint
from moonpalace_cli.text.tables import STYLE, box, cut, display_width, frame_width, natural_widths, pad, share

COMFORTABLE = 12
MIN_WIDTH = 8
LEFT = ("id", "status", "server_timing")
"""Columns of numbers that are left-aligned, as documented."""


def lay_out(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    headers: Sequence[str] = (),
    right: Collection[str] = (),
) -> str:
    """Return the table unchanged if `width` is None; otherwise with one line for each row, or as a block for each row.

    Cells that are too wide are cut. The names of the `columns` determine which may shrink, and which are right-aligned
    in addition to those named by `right`; `headers` replace them in the output.
    """
    headers = headers or columns
    places = right_places(columns, right)
    if width is None:
        return box(headers, rows, places)
    lines = [list(map(one_line, row)) for row in rows]
    if fits(headers, lines, width):
        return box(headers, lines, places)
    broken = [header.replace("_", "_\n") for header in headers]  # a line for each word
    for head, shortest in ((headers, COMFORTABLE), (broken, MIN_WIDTH)):
        widths = fitted(columns, natural_widths(head, lines), width, shortest)
        if widths is not None:
            fit_head = [
                one if display_width(one) <= room else two for one, two, room in zip(headers, head, widths, strict=True)
            ]
            first, *others = (shorten_row(columns, row, widths) for row in (fit_head, *lines))
            return box(first, others, places)
    return blocks(headers, rows)


def right_places(columns: Sequence[str], right: Collection[str] = ()) -> set[int]:
    """Return the indexes of the right-aligned columns."""
    return {place for place, name in enumerate(columns) if name in right or is_number(name)}


def is_number(column: str) -> bool:
    """Return whether a column is a right-aligned field of numbers."""
    return column in FIELDS and FIELDS[column].kind in ("whole", "decimal") and column not in LEFT


def one_line(cell: str) -> str:
    """Return a cell with its lines joined."""
    return "; ".join(cell.split("\n")) if "\n" in cell else cell


def fit(column: str) -> Fit:
    """Return how a column may shrink."""
    return FIELDS[column].fitting if column in FIELDS else "whole"


def fits(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Return whether the table is at most `width` columns wide."""
    return sum(natural_widths(headers, rows)) + frame_width(len(headers)) <= width


def fitted(columns: Sequence[str], natural: Sequence[int], width: int, shortest: int) -> list[int] | None:
    """Return the widths of the columns in a table of `width`; None if a shrinking column gets less than `shortest`."""
    elastic = [place for place, column in enumerate(columns) if fit(column) != "whole"]
    fixed = sum(natural) - sum(natural[place] for place in elastic) + frame_width(len(columns))
    shares = dict(zip(elastic, share([natural[place] for place in elastic], width - fixed), strict=True))
    if fixed > width or any(shares[place] < min(shortest, natural[place]) for place in elastic):
        return None
    return [shares.get(place, columns_) for place, columns_ in enumerate(natural)]


def shorten_row(columns: Sequence[str], row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a row with each cell cut to the width of its column."""
    return [shorten_cell(cell, fit(column), width) for cell, column, width in zip(row, columns, widths, strict=True)]


def shorten_cell(text: str, how: Fit, width: int) -> str:
    """Return the text fitted into a column of `width`; a colour stays around it."""
    if how == "whole" or display_width(text) <= width:
        return text
    if "\n" in text:  # a header
        return "\n".join([shorten_cell(line, how, width) for line in text.split("\n")])
    if colour := STYLE.match(text):
        return paint(shorten_cell(STYLE.sub("", text), how, width), colour[0])
    return without_middle(text, width) if how == "shorten" else without_end(text, width)


def without_middle(text: str, width: int) -> str:
    """Return the text with its middle replaced by an ellipsis."""
    head = width // 2
    tail = width - head - 1
    return cut(text, head)[0] + ellipsis() + cut(text[::-1], tail)[0][::-1]


def without_end(text: str, width: int) -> str:
    """Return the beginning of the text with an ellipsis, cut at the end of a word if one is near."""
    room = width
    while display_width(short := shortened(text, room)) > width and room > 1:
        room -= 1  # a terminal may show some emoji wider
    return short.removesuffix(ELLIPSIS) + ellipsis()


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a line for each cell, and a blank line between rows."""
    return "\n\n".join(block(columns, row) for row in rows)


def block(columns: Sequence[str], row: Sequence[str]) -> str:
    """Return a line for each cell; its further lines are aligned below its first."""
    longest = max(len(column) for column in columns)
    indent = "\n" + " " * (longest + 2)
    return "\n".join(
        f"{pad(column, longest)}  {cell.replace('\n', indent)}".rstrip()
        for column, cell in zip(columns, row, strict=True)
    )

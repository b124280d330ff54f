"""Lay out the table of `mpal list` in the columns that a terminal has."""

from collections.abc import Sequence

from moonpalace_cli.tables import box, cut, display_width, frame_width, pad, share

SHORTENED = {"url", "chatcmpl", "request_id", "user_id", "content_type"}
"""Columns that may be shortened in the middle: their ends tell calls apart, and --id needs none of them."""
BROKEN = {"status", "server_timing"}
"""Columns whose words may be broken after an underscore."""
COMFORTABLE = 12
SHORTEST = 8
ELLIPSIS = "…"


def lay_out(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Return the table as it is where it fits or `width` is None, else narrower, else as a block for each row."""
    if width is None or fits(columns, rows, width):
        return box(columns, rows)
    narrow = shorten(columns, rows, width, COMFORTABLE)
    if narrow is None:
        headers = [break_words(column) if column in BROKEN else column for column in columns]
        broken = [
            [break_words(cell) if column in BROKEN else cell for column, cell in zip(columns, row, strict=True)]
            for row in rows
        ]
        narrow = shorten(columns, broken, width, SHORTEST, headers)
    return narrow if narrow is not None else blocks(columns, rows)


def fits(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Tell whether the table is at most `width` columns wide."""
    return sum(natural_widths(headers, rows)) + frame_width(len(headers)) <= width


def natural_widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column's widest line."""
    columns = zip(headers, *rows, strict=True)
    return [max(display_width(line) for cell in column for line in cell.split("\n")) for column in columns]


def shorten(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    shortest: int,
    headers: Sequence[str] | None = None,
) -> str | None:
    """Return the table with its `SHORTENED` columns cut to fit, None if one would get less than `shortest`."""
    headers = headers or columns
    natural = natural_widths(headers, rows)
    elastic = [place for place, column in enumerate(columns) if column in SHORTENED]
    fixed = sum(natural) - sum(natural[place] for place in elastic) + frame_width(len(columns))
    given = dict(zip(elastic, share([natural[place] for place in elastic], width - fixed), strict=True))
    if any(given[place] < min(shortest, natural[place]) for place in elastic):
        return None
    heads = [shorten_cell(header, given.get(place)) for place, header in enumerate(headers)]
    return box(heads, [[shorten_cell(cell, given.get(place)) for place, cell in enumerate(row)] for row in rows])


def shorten_cell(text: str, width: int | None) -> str:
    """Return the text with its middle replaced by an ellipsis where it is wider than `width`."""
    if width is None or display_width(text) <= width:
        return text
    head = width // 2
    tail = width - head - 1
    return cut(text, head)[0] + ELLIPSIS + cut(text[::-1], tail)[0][::-1]


def break_words(text: str) -> str:
    """Return the text with a line for each of its words."""
    return text.replace("_", "_\n")


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a line for each cell, and a blank line between rows."""
    longest = max(len(column) for column in columns)
    return "\n\n".join(
        "\n".join(f"{pad(column, longest)}  {cell}".rstrip() for column, cell in zip(columns, row, strict=True))
        for row in rows
    )

"""Draw a table row by row, before all rows are known."""

from collections.abc import Sequence

from moonpalace_addons.store.fields import FIELDS
from moonpalace_cli.text.tables import frame_width, natural_widths, row_lines, rule
from moonpalace_cli.views.listing.layout import block, fit, fitted, one_line, right_places, shorten_cell

MIN_WIDTH = 8


class RunningTable:
    """A table laid out by its first rows and the expected widths; in a pipe, a wider cell only shifts its own row."""

    def __init__(self, columns: Sequence[str], first: Sequence[Sequence[str]], width: int | None) -> None:
        self._columns = columns
        self._is_fixed = width is not None
        widths = natural_widths(columns, first)
        natural = [max(there, FIELDS[column].width) for there, column in zip(widths, columns, strict=True)]
        self._widths: list[int] | None = natural
        if width is not None and sum(natural) + frame_width(len(columns)) > width:
            self._widths = fitted(columns, natural, width, MIN_WIDTH)

    def head(self) -> str:
        """Return the lines above the rows; empty if each row is a block."""
        if self._widths is None:
            return ""
        frame = rule(self._widths)
        return "\n".join([frame, self._line(self._columns), frame])

    def row(self, cells: Sequence[str]) -> str:
        """Return a row."""
        return block(self._columns, cells) + "\n" if self._widths is None else self._line(cells)

    def foot(self) -> str:
        """Return the lines below the rows."""
        return "" if self._widths is None else rule(self._widths)

    def _line(self, cells: Sequence[str]) -> str:
        widths = self._widths or []
        lines = [
            [shorten_cell(one_line(cell), fit(column), width)] if self._is_fixed else cell.split("\n")
            for cell, column, width in zip(cells, self._columns, widths, strict=True)
        ]
        return row_lines(lines, widths, right_places(self._columns))

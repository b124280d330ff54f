"""Print calls as one line each, like the proxy's log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.views.call_line import Piece, call_line, line_text
from moonpalace_cli.explaining.language import terminal_language
from moonpalace_cli.output import is_utf8, visible
from moonpalace_cli.text import colours
from moonpalace_cli.views.showing.phrases import translated

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange


class Lines:
    """Print one line for each call, `width()` columns wide; a change of the date is shown."""

    def __init__(self, engine: Engine, width: Callable[[], int | None]) -> None:
        self._engine = engine
        self._width = width
        self._is_coloured = colours.wanted()
        self._language = terminal_language()
        self._today = datetime.now().astimezone().date()

    def add(self, exchanges: Sequence[Exchange]) -> None:
        """Print these calls."""
        for exchange in exchanges:
            click.echo(self.line(exchange))

    def line(self, exchange: Exchange) -> str:
        """Return the line of a call."""
        from moonpalace_addons.store.records import contents  # 0.02 s
        from moonpalace_addons.wire.chat.last_words import last_words
        from moonpalace_addons.wire.json_value import parse_bounded

        words = last_words(parse_bounded(contents.request_body(self._engine, exchange.id) or b""))
        is_old = exchange.started_at.astimezone().date() != self._today
        shown = words if is_utf8() else visible(words)
        ended = outcome(exchange)
        ended = ended._replace(text=translated(ended.text, self._language))
        pieces = call_line(exchange, shown, self._width(), day=is_old, ended=ended)
        if not is_utf8():
            pieces = [piece._replace(text=visible(piece.text)) for piece in pieces]
        return painted(pieces) if self._is_coloured else line_text(pieces)

    def end(self) -> None:
        """Do nothing: every line is complete."""


def painted(pieces: Sequence[Piece]) -> str:
    """Return the line in colours."""
    return " ".join(colours.paint(piece.text, colours.OUTCOMES.get(piece.style, "")) for piece in pieces)

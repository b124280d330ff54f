"""The table of `mpal inspect`: one column for each part of a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import error_text
from moonpalace_addons.store.read.header_text import header_lines
from moonpalace_addons.wire.json_text import dumps
from moonpalace_cli.calls.content import answer, read, readable
from moonpalace_cli.calls.presentation import metadata
from moonpalace_cli.text.colours import looks_like_json, paint_pieces
from moonpalace_cli.text.tables import box, cut, display_width, fold, frame_width, share

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange

PARTS = ("metadata", "request_header", "request_body", "response_header", "response_body", "error")
SENTENCE = "error"
WRAPPED = ("request_body", "response_body", SENTENCE)
BODY_WIDTH = 48
"""Columns of a body if the output is not a terminal, as in the original."""
MIN_TEXT_WIDTH = 32
"""Minimum columns of wrapped text next to other parts, which keep their width."""


def part_texts(
    exchange: Exchange, bodies: Bodies, names: Sequence[str], *, merged: bool, labels: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the text of each part; for a stream, its raw events or the `merged` completion.

    `labels` are shown with the metadata. Without an answer the error replaces its body, as in the original.
    """
    texts = {
        "metadata": lambda: dumps(labelled(metadata(exchange), exchange, labels or {})),
        "request_header": lambda: "\n".join(header_lines(exchange.request_headers)),
        "request_body": lambda: readable(read(bodies.request)),
        "response_header": lambda: "\n".join(header_lines(exchange.response_headers or "")),
        "response_body": lambda: readable(answer(exchange, bodies).shown(merged=merged)),
        "error": lambda: error_text(exchange),
    }
    present = {name: texts[name]().replace("\r\n", "\n") for name in names}
    error = error_text(exchange)
    if "error" in present or present.get("response_body") != "" or not error:
        return present
    return dict(("error", error) if name == "response_body" else (name, text) for name, text in present.items())


def labelled(values: Mapping[str, str], exchange: Exchange, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata including the call's labels."""
    every = {"category": exchange.category, "note": exchange.note, **labels}
    return dict(sorted(({**values} | {name: label for name, label in every.items() if label}).items()))


def parts_table(texts: Mapping[str, str], width: int | None, *, colour: bool = False) -> str:
    """Return the parts side by side, fitted to `width` columns; below each other if they would get too narrow."""
    if width is None:
        return table(texts, dict.fromkeys(WRAPPED, BODY_WIDTH), colour=colour)
    natural = {name: max(display_width(line) for line in (name, *text.split("\n"))) for name, text in texts.items()}
    wrapped = {name: columns for name, columns in natural.items() if name in WRAPPED}
    room = width - frame_width(len(texts)) - sum(natural.values()) + sum(wrapped.values())
    shares = dict(zip(wrapped, share(list(wrapped.values()), room), strict=True))
    if room >= 0 and all(shares[name] >= min(wrapped[name], MIN_TEXT_WIDTH) for name in wrapped):
        return table(texts, shares, colour=colour)
    alone = max(1, width - frame_width(1))
    return "\n".join(table({name: text}, {name: alone}, colour=colour) for name, text in texts.items())


def table(texts: Mapping[str, str], widths: Mapping[str, int], *, colour: bool) -> str:
    """Return a table with a single row, cells wrapped where they have a width; JSON in colours."""
    cells = [
        cell(text, widths.get(name), fold if name == SENTENCE else cut, colour=colour) for name, text in texts.items()
    ]
    return box(list(texts), [cells])


def cell(text: str, width: int | None, wrap: Callable[[str, int], list[str]], *, colour: bool) -> str:
    """Return the wrapped text, in colours if it is JSON."""
    lines = [[line] if width is None else wrap(line, width) for line in text.split("\n")]
    if colour and looks_like_json(text):
        lines = [paint_pieces(pieces) for pieces in lines]
    return "\n".join(piece for pieces in lines for piece in pieces)

"""Make the table of `mpal inspect`: one column for each part of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from moonpalace_cli.content import answer, read, readable
from moonpalace_cli.http_text import header_lines
from moonpalace_cli.json_text import dumps
from moonpalace_cli.presentation import error_text, metadata
from moonpalace_cli.tables import box, display_width, frame_width, share, wrap

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange

PARTS = ("metadata", "request_header", "request_body", "response_header", "response_body", "error")
BODIES = ("request_body", "response_body")
BODY_WIDTH = 48
"""Columns of a body where no terminal sets the width, as the original has them."""
NARROWEST = 32
"""Columns that a body must get to stand beside other parts, which keep their width."""


def part_texts(exchange: Exchange, bodies: Bodies, names: Sequence[str], *, merged: bool) -> dict[str, str]:
    """Return the text of each part; of a stream, its raw events or the `merged` completion."""
    texts = {
        "metadata": lambda: dumps(metadata(exchange)),
        "request_header": lambda: "\n".join(header_lines(exchange.request_headers)),
        "request_body": lambda: readable(read(bodies.request)),
        "response_header": lambda: "\n".join(header_lines(exchange.response_headers or "")),
        "response_body": lambda: readable(answer(exchange, bodies).shown(merged=merged)),
        "error": lambda: error_text(exchange),
    }
    return {name: texts[name]().replace("\r\n", "\n") for name in names}


def parts_table(texts: Mapping[str, str], width: int | None) -> str:
    """Return the parts side by side, fitted to `width` columns; under each other where they would get too narrow."""
    if width is None:
        return table({name: wrap(text, BODY_WIDTH) if name in BODIES else text for name, text in texts.items()})
    natural = {name: max(display_width(line) for line in (name, *text.split("\n"))) for name, text in texts.items()}
    bodies = {name: columns for name, columns in natural.items() if name in BODIES}
    left = width - frame_width(len(texts)) - sum(natural.values()) + sum(bodies.values())
    given = dict(zip(bodies, share(list(bodies.values()), left), strict=True))
    if left >= 0 and all(given[name] >= min(bodies[name], NARROWEST) for name in bodies):
        return table({name: wrap(text, given[name]) if name in given else text for name, text in texts.items()})
    alone = max(1, width - frame_width(1))
    return "\n".join(table({name: wrap(text, alone)}) for name, text in texts.items())


def table(texts: Mapping[str, str]) -> str:
    """Return a table with a single row."""
    return box(list(texts), [list(texts.values())])

"""Load the data of a call that a list shows: its row, and tags and bodies if a column needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange


@dataclass(frozen=True, slots=True)
class Listed:
    """A stored call; tags and bodies only if they were requested."""

    exchange: Exchange
    tags: tuple[str, ...] = ()
    bodies: Bodies | None = None


def complete(engine: Engine, exchanges: Sequence[Exchange], needs: set[str]) -> Iterator[Listed]:
    """Yield the calls with the data besides their rows that is needed: "tags", "bodies"."""
    tags = {}
    if "tags" in needs:
        from moonpalace_addons.store.records.labels import tags_of

        tags = dict(tags_of(engine, [exchange.id for exchange in exchanges]))
    for exchange in exchanges:
        bodies = None
        if "bodies" in needs:
            # 0.02 s for the compression, which other columns do not need. One call at a time: bodies may be huge.
            from moonpalace_addons.store.records import contents

            bodies = contents.bodies(engine, exchange.id)
        yield Listed(exchange, tags.get(exchange.id, ()), bodies)

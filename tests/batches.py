"""A batch that is written at once, without the writer's portions."""

from collections.abc import Mapping
from typing import override

from sqlalchemy import Connection

from moonpalace_addons.store.write import batch, units


class Batch(batch.Batch):
    """Write the planned rows."""

    def store(self, connection: Connection) -> None:
        """Write all planned rows, in the connection's transaction; then call `stored`."""
        self._written = units.write(connection, list(self.units.values()))

    @override
    def stored(self, ids: Mapping[str, int] | None = None) -> None:
        super().stored(self._written if ids is None else ids)

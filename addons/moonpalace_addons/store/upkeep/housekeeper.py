"""Keep the store within its age and size while the proxy runs."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from moonpalace_addons.store.upkeep import cleaning, retention, space, unused
from moonpalace_addons.store.upkeep.background import Upkeep
from moonpalace_addons.store.upkeep.retention import Rule

logger = logging.getLogger(__name__)

FIRST = 30.0
"""Seconds after the start of the proxy to the first look."""

INTERVAL = 300.0
"""Seconds from one look to the next."""


class Housekeeper(Upkeep):
    """Delete what is older than `days`, and the oldest calls while the store is larger than `max_size` bytes."""

    def __init__(self, engine: Engine, *, days: int | None, max_size: int | None) -> None:
        failure = "old calls could not be deleted"
        super().__init__("moonpalace-housekeeper", first=FIRST, interval=INTERVAL, failure=failure)
        self.engine = engine
        self.days = days
        self.max_size = max_size

    @property
    def is_wanted(self) -> bool:
        """Tell whether there is anything to be kept within."""
        return self.days is not None or self.max_size is not None

    def do(self) -> None:
        """Clean the store up if it needs that."""
        enforce(self.engine, days=self.days, max_size=self.max_size, stop=self.stopping)


def enforce(engine: Engine, *, days: int | None, max_size: int | None, stop: threading.Event) -> int:
    """Delete calls older than `days` and, while the store is larger than `max_size` bytes, the oldest; return how many.

    Labelled calls stay. Also finishes what an earlier clean-up left undone. Costs little where nothing is to be done.
    """
    before = datetime.now(UTC) - timedelta(days=days) if days is not None else None
    rule = Rule(before=before)
    too_large = max_size is not None and space.size(engine) > max_size
    if not (too_large or unused.any_noted(engine) or retention.any_expired(engine, rule)):
        return 0
    cleaned = cleaning.clean(engine, rule, max_size, stop)
    if cleaned.deleted:
        logger.info("store: deleted %d old calls", cleaned.deleted)
    return cleaned.deleted

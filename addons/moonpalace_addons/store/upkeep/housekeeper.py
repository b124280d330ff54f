"""Enforce the store's maximum age and size while the proxy runs."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from moonpalace_addons.store.upkeep import cleaning, retention, space, unused
from moonpalace_addons.store.upkeep.background import Upkeep
from moonpalace_addons.store.upkeep.retention import Rule

logger = logging.getLogger(__name__)

FIRST_DELAY = 30.0
"""Seconds from the start of the proxy to the first run."""

INTERVAL = 300.0
"""Seconds between runs."""


class Housekeeper(Upkeep):
    """Delete calls older than `days`, and the oldest while the store is larger than `max_size` bytes."""

    def __init__(self, engine: Engine, *, days: int | None, max_size: int | None) -> None:
        failure = "old calls could not be deleted"
        super().__init__("moonpalace-housekeeper", first=FIRST_DELAY, interval=INTERVAL, failure=failure)
        self.engine = engine
        self.days = days
        self.max_size = max_size

    @property
    def is_wanted(self) -> bool:
        """Return whether there is a limit."""
        return self.days is not None or self.max_size is not None

    def do(self) -> None:
        """Clean up the store if it exceeds its limits."""
        enforce(self.engine, days=self.days, max_size=self.max_size, stop=self.stopping)


def enforce(engine: Engine, *, days: int | None, max_size: int | None, stop: threading.Event) -> int:
    """Delete calls older than `days` and, while the store exceeds `max_size` bytes, the oldest; return their number.

    Labelled calls are kept. Also finishes an interrupted clean-up. Cheap if there is nothing to do.
    """
    before = datetime.now(UTC) - timedelta(days=days) if days is not None else None
    rule = Rule(before=before)
    too_large = max_size is not None and space.size(engine) > max_size
    if not (too_large or unused.any_noted(engine) or retention.any_expired(engine, rule)):
        cleaning.forget_reports(engine, stop)
        return 0
    cleaned = cleaning.clean(engine, rule, max_size, stop)
    if cleaned.deleted:
        logger.info("store: deleted %d old calls", cleaned.deleted)
    return cleaned.deleted

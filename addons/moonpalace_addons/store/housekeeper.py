"""Keep the store within its age and size while the proxy runs, on a thread of its own that never raises."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from moonpalace_addons.store import cleaning
from moonpalace_addons.store.records import retention, space, unused
from moonpalace_addons.store.records.retention import Rule

logger = logging.getLogger(__name__)

FIRST = 30.0
"""Seconds after the start of the proxy to the first look."""

INTERVAL = 300.0
"""Seconds from one look to the next."""

JOIN_MOST = 10.0


class Housekeeper:
    """Delete what is older than `days`, and the oldest calls while the store is larger than `max_size` bytes."""

    def __init__(self, engine: Engine, *, days: int | None, max_size: int | None) -> None:
        self.engine = engine
        self.days = days
        self.max_size = max_size
        self.trouble: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="moonpalace-housekeeper", daemon=True)

    def start(self) -> None:
        """Start the thread, if there is anything to be kept within."""
        if self.days is not None or self.max_size is not None:
            self._thread.start()

    def stop(self) -> None:
        """Stop after the step that is being done."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_MOST)

    def _work(self) -> None:
        pause = FIRST
        while not self._stop.wait(pause):
            self.look()
            pause = INTERVAL

    def look(self) -> None:
        """Clean the store up if it needs that; whatever goes wrong is logged, once for the same trouble."""
        try:
            enforce(self.engine, days=self.days, max_size=self.max_size, stop=self._stop)
        except Exception as error:  # noqa: BLE001 - a thread that has died cleans nothing up
            words = (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]
            if words != self.trouble:
                logger.warning("store: old calls could not be deleted: %s; it is tried again", words)
            self.trouble = words
        else:
            self.trouble = None


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

"""Give up calls whose upstream has been silent for too long."""

import asyncio
import contextlib
import logging
import time

from moonpalace_addons import upstream
from moonpalace_addons.calls import Call, Calls
from moonpalace_addons.configuration import Configuration

logger = logging.getLogger(__name__)


class Deadline:
    """Look at all calls now and then; one timer for all costs less than one for each chunk of each call."""

    name = "moonpalace-deadline"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Start looking."""
        if self.configuration.ready:
            self._task = asyncio.create_task(self._watch(self.configuration.settings.idle_timeout))

    async def _watch(self, limit: float) -> None:
        while True:
            await asyncio.sleep(min(1.0, limit / 4))
            for call in self.calls:
                try:
                    self._look(call, limit)
                except Exception:
                    logger.exception("a silent call could not be given up; mitmproxy's own limit ends it")

    @staticmethod
    def _look(call: Call, limit: float) -> None:
        if call.timed_out:
            return
        if silence(call) > limit:
            give_up(call, limit)

    async def done(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


def silence(call: Call) -> float:
    """Return the seconds since upstream last sent something of the answer or, before that, since anything happened."""
    if call.touched is not None:
        return (time.monotonic_ns() - call.touched) / 1e9
    last = upstream.last_activity(call.flow)
    return 0.0 if last is None else time.time() - last


def give_up(call: Call, limit: float) -> None:
    """End a call: with an error while there is none of the answer, else as a broken transfer."""
    call.timed_out = True
    message = f"no byte from upstream for {limit:g} s (setting idle-timeout)"
    body = upstream.error_body(message, "upstream_timeout")
    if call.streaming or not upstream.answer_and_close(call.flow, 504, body):
        upstream.close_client(call.flow)

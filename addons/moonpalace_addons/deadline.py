"""End calls without activity for longer than `idle-timeout`, and record which side was silent."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.ending import give_up
from moonpalace_addons.calls.failures import CLIENT_SILENT, TUNNEL_IDLE, UPSTREAM_SILENT, Failure
from moonpalace_addons.calls.tunnel import Tunnel
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm import flow_control

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Activity:
    """The last event on the connections of a call before its answer.

    `at` is in nanoseconds of the monotonic clock; `mark` changes with each event.
    """

    at: int
    mark: float | None = None


class Deadline:
    """Check all calls periodically: one timer for all is cheaper than resetting one for each chunk."""

    name = "moonpalace-deadline"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Start the checks."""
        if self.configuration.ready:
            self._task = asyncio.create_task(self._watch(self.configuration.settings.idle_timeout))

    async def _watch(self, limit: float) -> None:
        while True:
            await asyncio.sleep(min(1.0, limit / 4))
            for call in self.calls:
                try:
                    self._look(call, limit)
                except Exception:
                    logger.exception("a silent call could not be ended; mitmproxy's own timeout will end it")

    @staticmethod
    def _look(call: Call, limit: float) -> None:
        if call.given_up is not None:
            return
        note_progress(call)
        if silence(call) > limit:
            end_silence(call, limit)
        else:
            activity_of(call).mark = flow_control.postpone_timeout(call.flow)

    async def done(self) -> None:
        """Stop the checks."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


def note_progress(call: Call) -> None:
    """Count data that the client reads as activity, as upstream may have to wait for the client.

    Before the answer, any event on the connections counts. mitmproxy dates events by the wall clock, which may be set
    at any time, so only a change since the last check matters, not the time.
    """
    if call.touched is None:
        mark, activity = flow_control.last_activity(call.flow), activity_of(call)
        if mark is None or mark != activity.mark:
            activity.mark, activity.at = mark, time.monotonic_ns()
        return
    unsent = flow_control.unsent(call.flow)
    if unsent < call.unsent:
        call.touched = time.monotonic_ns()
    call.unsent = unsent


def silence(call: Call) -> float:
    """Return the seconds since the last data of the answer or, before it, since any activity."""
    return (time.monotonic_ns() - (activity_of(call).at if call.touched is None else call.touched)) / 1e9


def activity_of(call: Call) -> Activity:
    """Return the last activity of a call, initially the beginning of its request."""
    return call.find(Activity) or call.add(Activity(call.started))


def end_silence(call: Call, limit: float) -> None:
    """End a silent call, with the side that was silent."""
    failure, description = whose_silence(call)
    give_up(call, failure, f"{description} for {limit:g} s (setting idle-timeout)")


def whose_silence(call: Call) -> tuple[Failure, str]:
    """Return the failure of a silent call and its description: the client or upstream was silent."""
    if call.find(Tunnel) is not None:
        return TUNNEL_IDLE, "nothing passed through the tunnel"
    if call.flow.request.timestamp_end is None:
        return CLIENT_SILENT, "no byte of the request"
    if call.unsent:
        return CLIENT_SILENT, "the client took no byte of the answer"
    return UPSTREAM_SILENT, "no byte from upstream"

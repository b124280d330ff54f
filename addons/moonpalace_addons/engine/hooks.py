"""Call mitmproxy's hooks from lists of those that listen, which are made anew when an addon comes or goes.

mitmproxy asks every addon for every event whether it has a hook of that name. All else is as there: hooks in the order
of the addons, one that fails is logged and the others are called, AddonHalt ends an event, a flow that was intercepted
waits until it is resumed.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import ModuleType
from typing import Any

from mitmproxy import exceptions
from mitmproxy.addonmanager import AddonManager, traverse
from mitmproxy.flow import Flow

logger = logging.getLogger(__name__)

type Listener = Callable[[Any], Any]
type Left = tuple[Awaitable[object], Sequence[Listener]]
"""What is to be awaited, and who is to be called after it."""


KILL_INTERVAL = 0.1
"""Seconds between two looks at whether a flow that waits has been killed: mitmproxy wakes nobody then."""


async def resumed(flow: Flow) -> None:
    """Wait until a flow that was intercepted is resumed or killed."""
    while flow.intercepted:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(flow.wait_for_resume(), KILL_INTERVAL)


class Hooks:
    """The listeners of a master's addons."""

    def __init__(self, addons: AddonManager) -> None:
        self._addons = addons
        self._seen: list[object] = []
        self._listeners: dict[str, list[Listener]] = {}

    def look(self) -> None:
        """See whether addons have come or gone; to be called once for a call."""
        if (seen := list(self._addons.lookup.values())) != self._seen:
            self._seen = seen
            self._listeners.clear()

    def of(self, name: str) -> list[Listener]:
        """Return the listeners of an event in order."""
        listeners = self._listeners.get(name)
        if listeners is None:
            found = (getattr(addon, name, None) for addon in traverse(self._addons.chain))
            listeners = [hook for hook in found if callable(hook) and not isinstance(hook, ModuleType)]
            self._listeners[name] = listeners
        return listeners

    def call(self, name: str, data: object) -> Coroutine[Any, Any, None] | None:
        """Call the listeners of an event; return what is to be awaited until they are done, None if they are."""
        if (left := self._call(self.of(name), data)) is not None:
            return self._finish(left, data)
        return self._updated(data) if isinstance(data, Flow) else None

    def _updated(self, flow: Flow) -> Coroutine[Any, Any, None] | None:
        """Say that a flow has changed, as mitmproxy does after each of its events, and wait if it is intercepted."""
        if (left := self._call(self.of("update"), [flow])) is not None:
            return self._finish_update(left, flow)
        return resumed(flow) if flow.intercepted else None

    def _call(self, listeners: Sequence[Listener], data: object) -> Left | None:
        """Call listeners; return what is to be awaited first, if one says so, and who comes after it."""
        for at, listener in enumerate(listeners):
            try:
                result = listener(data)
            except exceptions.AddonHalt:
                return None
            except Exception:
                logger.exception("Addon error at %s", getattr(listener, "__qualname__", listener))
            else:
                if result is not None and inspect.isawaitable(result):
                    return result, listeners[at + 1 :]
        return None

    async def _finish(self, left: Left, data: object) -> None:
        await self._call_rest(left, data)
        if isinstance(data, Flow) and (waiting := self._updated(data)) is not None:
            await waiting

    async def _finish_update(self, left: Left, flow: Flow) -> None:
        await self._call_rest(left, [flow])
        await resumed(flow)

    async def _call_rest(self, left: Left | None, data: object) -> None:
        while left is not None:
            waiting, listeners = left
            try:
                await waiting
            except exceptions.AddonHalt:
                return
            except Exception:
                logger.exception("Addon error")
            left = self._call(listeners, data)

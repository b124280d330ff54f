"""Call mitmproxy's hooks from cached lists of listeners, which are rebuilt when addons are added or removed.

mitmproxy looks up every hook on every addon for every event. Everything else is the same: hooks run in the order of the
addons, a failing hook is logged and the others still run, AddonHalt stops an event, and an intercepted flow waits until
it is resumed.
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
from mitmproxy.connection import Client
from mitmproxy.flow import Flow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

logger = logging.getLogger(__name__)

type Listener = Callable[[Any], Any]
type Pending = tuple[Awaitable[object], Sequence[Listener]]
"""An awaitable, and the listeners to call after it."""


KILL_INTERVAL = 0.1
"""Seconds between checks whether an intercepted flow was killed, of which mitmproxy does not notify the waiter."""


async def resumed(flow: Flow) -> None:
    """Wait until an intercepted flow is resumed or killed."""
    while flow.intercepted:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(flow.wait_for_resume(), KILL_INTERVAL)


class Listeners(dict[str, list[Listener]]):
    """The listeners of events, in order, looked up when an event occurs first.

    An addon of ours names in `unneeded` its hooks that do nothing under the present settings.
    """

    def __init__(self, addons: AddonManager) -> None:
        super().__init__()
        self._addons = addons

    def __missing__(self, name: str) -> list[Listener]:
        """Look up the listeners of an event."""
        addons = (each for each in traverse(self._addons.chain) if name not in getattr(each, "unneeded", ()))
        found = (getattr(addon, name, None) for addon in addons)
        self[name] = listeners = [hook for hook in found if callable(hook) and not isinstance(hook, ModuleType)]
        return listeners


class Hooks:
    """The listeners of a master's addons."""

    def __init__(self, addons: AddonManager) -> None:
        self._addons = addons
        self._seen: list[object] = []
        self._listeners = Listeners(addons)

    def refresh(self) -> None:
        """Clear the cache if addons were added or removed; call it once per call."""
        if (seen := list(self._addons.lookup.values())) != self._seen:
            self._seen = seen
            self._listeners.clear()

    def only_watches(self, name: str) -> bool:
        """Tell whether all listeners of an event leave its flow unchanged; our addons name such hooks in `watches`."""
        owners = (getattr(listener, "__self__", None) for listener in self._listeners[name])
        return all(name in getattr(owner, "watches", ()) for owner in owners)

    def call(self, name: str, flow: Flow) -> Coroutine[Any, Any, None] | None:
        """Call the listeners of a flow's event; return a coroutine to await until they finish, or None if they have."""
        if (left := self._call(self._listeners[name], flow)) is not None:
            return self._finish(left, flow)
        return self._updated(flow) if flow.intercepted or self._listeners["update"] else None

    def notify(self, name: str, of: Client | ServerConnectionHookData) -> Coroutine[Any, Any, None] | None:
        """Do the same for an event of a connection, which cannot be intercepted."""
        left = self._call(self._listeners[name], of)
        return None if left is None else self._call_rest(left, of)

    def _updated(self, flow: Flow) -> Coroutine[Any, Any, None] | None:
        """Call `update`, as mitmproxy does after each event of a flow, and wait if the flow is intercepted."""
        if (left := self._call(self._listeners["update"], [flow])) is not None:
            return self._finish_update(left, flow)
        return resumed(flow) if flow.intercepted else None

    def _call(self, listeners: Sequence[Listener], data: object) -> Pending | None:
        """Call listeners up to the first that must be awaited; return its awaitable and the remaining ones."""
        for listener in listeners:
            try:
                result = listener(data)
            except exceptions.AddonHalt:
                return None
            except Exception:
                logger.exception("Addon error at %s", getattr(listener, "__qualname__", listener))
            else:
                if result is not None and inspect.isawaitable(result):
                    return result, listeners[listeners.index(listener) + 1 :]
        return None

    async def _finish(self, left: Pending, flow: Flow) -> None:
        await self._call_rest(left, flow)
        if (waiting := self._updated(flow)) is not None:
            await waiting

    async def _finish_update(self, left: Pending, flow: Flow) -> None:
        await self._call_rest(left, [flow])
        await resumed(flow)

    async def _call_rest(self, left: Pending | None, data: object) -> None:
        while left is not None:
            waiting, listeners = left
            try:
                await waiting
            except exceptions.AddonHalt:
                return
            except Exception:
                logger.exception("Addon error")
            left = self._call(listeners, data)

"""Call mitmproxy's hooks without looking for them at every event.

mitmproxy asks every addon, and every addon of an addon, for every event whether it has a hook of that name: measured, a
sixth of the time that a call takes. Here the answer is kept until an addon comes or goes. All else is mitmproxy's:
hooks in the order of the addons, an addon that fails is logged and the others are called, AddonHalt ends an event.
"""

import inspect
import logging
from collections.abc import Callable
from typing import Any

from mitmproxy import exceptions
from mitmproxy.addonmanager import AddonManager
from mitmproxy.flow import Flow
from mitmproxy.hooks import Hook, UpdateHook
from mitmproxy.master import Master

logger = logging.getLogger(__name__)

type HookFunction = Callable[..., Any]


class DirectAddonManager(AddonManager):
    """An addon manager that knows which addons listen to what."""

    def __init__(self, master: Master) -> None:
        self._listeners: dict[str, list[HookFunction]] = {}
        super().__init__(master)  # type: ignore[no-untyped-call]

    def register(self, addon: object) -> object:
        """Register an addon; what was known of listeners is forgotten."""
        self._listeners.clear()
        registered: object = super().register(addon)  # type: ignore[no-untyped-call]
        self._listeners.clear()
        return registered

    def add(self, *addons: object) -> None:
        """Add addons at the end."""
        super().add(*addons)  # type: ignore[no-untyped-call]
        self._listeners.clear()

    def remove(self, addon: object) -> None:
        """Remove an addon."""
        super().remove(addon)  # type: ignore[no-untyped-call]
        self._listeners.clear()

    async def handle_lifecycle(self, event: Hook) -> None:
        """Trigger an event of a flow or a connection, and for a flow say that it has changed."""
        await self.trigger_event(event)
        if self._of(UpdateHook.name):
            (message,) = event.args()
            if isinstance(message, Flow):
                await self.trigger_event(UpdateHook([message]))

    async def trigger_event(self, event: Hook) -> None:
        """Call the listeners of an event in order."""
        listeners = self._of(event.name)
        if not listeners:
            return
        arguments = event.args()
        for listener in listeners:
            try:
                result = listener(*arguments)
                if result is not None and inspect.isawaitable(result):
                    await result
            except exceptions.AddonHalt:
                return
            except exceptions.OptionsError:
                raise
            except Exception:
                logger.exception("an addon failed at %s", event.name)

    def _of(self, name: str) -> list[HookFunction]:
        listeners = self._listeners.get(name)
        if listeners is None:
            found = (getattr(addon, name, None) for addon in self._all())
            listeners = self._listeners[name] = [hook for hook in found if callable(hook)]
        return listeners

    def _all(self) -> list[object]:
        every: list[object] = []
        for addon in self.chain:
            every += _with_nested(addon)
        return every


def _with_nested(addon: object) -> list[object]:
    nested = [addon]
    for inner in getattr(addon, "addons", ()):
        nested += _with_nested(inner)
    return nested

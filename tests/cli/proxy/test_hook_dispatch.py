"""Hooks are called as mitmproxy calls them, only sooner."""

import asyncio
from collections.abc import Callable

import pytest
from mitmproxy import exceptions, hooks, options
from mitmproxy.flow import Flow
from mitmproxy.master import Master
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import tflow

from moonpalace_cli.proxy.hook_dispatch import DirectAddonManager


class Listener:
    """An addon that notes what it hears, and maybe fails."""

    def __init__(self, name: str, heard: list[str], failure: Exception | None = None) -> None:
        self.name = name
        self.heard = heard
        self.failure = failure

    def request(self, flow: Flow) -> None:
        """Note a request."""
        self.heard.append(self.name)
        if self.failure:
            raise self.failure


class Waiting(Listener):
    """An addon whose hook is a coroutine."""

    async def request(self, flow: Flow) -> None:  # type: ignore[override]
        """Note a request after a turn of the loop."""
        await asyncio.sleep(0)
        self.heard.append(self.name)


class Group:
    """An addon that brings others."""

    name = "group"

    def __init__(self, *addons: object) -> None:
        self.addons = list(addons)


def trigger(fill: Callable[[DirectAddonManager], None]) -> None:
    """Trigger the event of a request in a master with the addons that `fill` puts in."""

    async def run() -> None:
        master = Master(options.Options())
        manager = DirectAddonManager(master)
        fill(manager)
        await manager.handle_lifecycle(HttpRequestHook(tflow.tflow()))

    asyncio.run(run())


@pytest.mark.parametrize("failure", [ValueError("x"), exceptions.AddonHalt()])
def test_order_and_failures(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Addons hear in their order, nested and waiting ones too; one that fails is logged, and only AddonHalt ends it."""
    heard: list[str] = []
    addons = [Group(Listener("a", heard), Waiting("b", heard)), Listener("c", heard, failure), Listener("d", heard)]
    trigger(lambda manager: manager.add(*addons))
    halted = isinstance(failure, exceptions.AddonHalt)
    assert heard == (["a", "b", "c"] if halted else ["a", "b", "c", "d"])
    assert ("an addon failed at request" in caplog.text) is not halted


def test_addons_that_come_and_go() -> None:
    """What is added later hears, what is removed does not."""
    heard: list[str] = []

    async def run() -> None:
        master = Master(options.Options())
        manager = DirectAddonManager(master)
        event = HttpRequestHook(tflow.tflow())
        first, second = Listener("first", heard), Listener("second", heard)
        manager.add(first)
        await manager.trigger_event(event)
        manager.add(second)
        await manager.trigger_event(event)
        manager.remove(first)
        await manager.trigger_event(event)

    asyncio.run(run())
    assert heard == ["first", "first", "second", "second"]


def test_who_shows_flows_hears_of_updates() -> None:
    """After a flow's event those who listen for updates hear of the flow, as mitmweb's view must."""
    heard: list[object] = []

    class View:
        name = "some-view"

        def update(self, flows: list[Flow]) -> None:
            heard.append(flows)

    trigger(lambda manager: manager.add(View()))
    assert len(heard) == 1
    assert hooks.UpdateHook.name == "update"

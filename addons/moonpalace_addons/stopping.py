"""Graceful shutdown: stop listening, let calls finish for a grace period, end the rest, and record what was not sent.

mitmproxy awaits the hook `done` when `mpal start`, mitmdump or mitmweb stops, so all of this happens there, while the
event loop runs. Afterwards no client is connected, however long the store takes.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.calls.ending import STOPPED, give_up
from moonpalace_addons.calls.failures import PROXY_STOPPED
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm import client_connections, flow_control
from moonpalace_addons.mitm.proxy_server import proxyserver

logger = logging.getLogger("moonpalace")

GRACE = 5.0
"""Seconds for calls in progress to finish; a second signal ends the wait."""

FLUSH = 1.0
"""Seconds for clients to receive pending data after that."""

LOOK_INTERVAL = 0.02

UNTAKEN = "bytes of the answer that its client had not taken when the proxy was stopped"


class Stopping:
    """Shut the proxy down gracefully."""

    name = "moonpalace-stopping"

    def __init__(self, configuration: Configuration, calls: Calls) -> None:
        self.configuration = configuration
        self.calls = calls
        self.has_begun = False

    def running(self) -> None:
        """Shut down on SIGHUP (the terminal is closed), unless it is ignored (nohup)."""
        if self.configuration.ready and hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            terminal = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

            def hang_up() -> None:
                let_go(terminal)
                ctx.master.shutdown()

            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Close the connection after a request that arrived during the shutdown."""
        if self.has_begun:
            flow.request.headers["Connection"] = "close"

    async def done(self) -> None:
        """Stop listening, wait for calls, and end the rest, before the `done` of later addons runs."""
        if not self.configuration.ready:
            return
        self.has_begun = True
        hurry = asyncio.Event()
        await proxyserver().servers.update([])
        on_signals(hurry.set)
        await self._let_end(hurry)
        self._cut()
        await self._close()

    async def _let_end(self, hurry: asyncio.Event) -> None:
        if count := len(list(self.calls)):
            logger.info("MoonPalace stops: calls in progress (%d) have %g s; a second signal ends them", count, GRACE)
        ends = time.monotonic() + GRACE
        while client_connections.drain() and not hurry.is_set() and time.monotonic() < ends:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), LOOK_INTERVAL)

    def _cut(self) -> None:
        for call in self.calls:
            if call.streaming and (untaken := flow_control.unsent(call.flow)):
                call.warnings.append(f"{UNTAKEN}: {untaken}")
            give_up(call, PROXY_STOPPED, STOPPED, flush=True)

    async def _close(self) -> None:
        """Close the remaining connections once pending data is sent.

        A client may still get data until mitmproxy reports the end of its call, so those reports are awaited too.
        """
        clients = client_connections.close_all()
        ends = time.monotonic() + FLUSH
        while self._goes_on(clients) and time.monotonic() < ends:  # noqa: ASYNC110 - states, not events
            await asyncio.sleep(LOOK_INTERVAL)
        for client in clients:
            if client.get_write_buffer_size():
                client.abort()

    def _goes_on(self, clients: Sequence[client_connections.Sender]) -> bool:
        return any(True for _ in self.calls) or any(each.get_write_buffer_size() for each in clients)


def on_signals(act: Callable[[], None]) -> None:
    """Call `act` on the signals that stop the proxy."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, act)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))
        except (RuntimeError, ValueError):
            return  # not in the main thread, which alone receives signals


def let_go(terminal: list[int]) -> None:
    """Redirect the output of a closed terminal to /dev/null: mitmdump exits at once if it cannot print."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in terminal:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)

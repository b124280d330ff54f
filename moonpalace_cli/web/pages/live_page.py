"""Server-sent events at `/live`: one whenever the store has changed."""

from __future__ import annotations

import asyncio

from tornado.iostream import StreamClosedError

from moonpalace_cli.web.page import Page

HEARTBEAT_INTERVAL = 15.0
"""Seconds after which a comment is sent, to detect a broken connection."""
RECONNECT_DELAY = 1000
"""Milliseconds after which a browser reconnects."""


class LivePage(Page):
    """Notify a page that its list has changed; the first event is sent immediately."""

    async def get(self) -> None:
        """Send events until the browser leaves or the console stops."""
        self.set_header("Content-Type", "text/event-stream; charset=UTF-8")
        try:
            await self.send(f"retry: {RECONNECT_DELAY}\n\n")
            async with self.console.watcher.changes() as changed:
                while not self.console.watcher.is_closed:
                    await self.send("event: changed\ndata: {}\n\n" if await self.comes(changed) else ": waiting\n\n")
        except StreamClosedError:
            return

    async def comes(self, changed: asyncio.Event) -> bool:
        """Wait for a change, at most until the next heartbeat is due."""
        try:
            await asyncio.wait_for(changed.wait(), HEARTBEAT_INTERVAL)
        except TimeoutError:
            return False
        changed.clear()
        return True

    async def send(self, text: str) -> None:
        """Send a piece of the stream."""
        self.write(text)
        await self.flush()

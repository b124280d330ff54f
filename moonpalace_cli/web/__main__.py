"""Serve the console beside a proxy that started it with `--console`: `python -m moonpalace_cli.web`."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.values import Settings
from moonpalace_cli import companion
from moonpalace_cli.web.server import Options, Served, serve

if TYPE_CHECKING:
    from sqlalchemy import Engine

NICE_INCREMENT = 10
"""Its priority is lower than the writer's: on a busy machine a page may wait, a row may not."""
EXIT_TIMEOUT = 1.0
"""Seconds after the end of the proxy in which running queries may finish; their writes are atomic."""


class ToProxy(logging.Handler):
    """Send log records to the proxy's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        companion.write(record.levelno, f"console: {self.format(record)}")


def main() -> None:
    """Serve until the proxy ends."""
    settings = companion.take(Settings, NICE_INCREMENT)
    if settings is None:
        return
    logging.getLogger().addHandler(ToProxy())
    stopping = threading.Event()
    companion.at_the_end(lambda: end(stopping))
    engine = companion.opened(settings.database, stopping, "console: it waits")
    if engine is None:
        return
    token = os.environ.get("MOONPALACE_WEB_TOKEN") or None
    options = Options("127.0.0.1", settings.console_port, token, settings.redact_pattern, "--console-port", settings)
    try:
        asyncio.run(serve_until(engine, options, stopping))
    except MoonPalaceError as error:
        companion.write(logging.WARNING, str(error))


def end(stopping: threading.Event) -> None:
    """Stop the console without waiting for slow queries."""
    stopping.set()
    timer = threading.Timer(EXIT_TIMEOUT, os._exit, [0])
    timer.daemon = True
    timer.start()


async def serve_until(engine: Engine, options: Options, stopping: threading.Event) -> None:
    """Serve until `stopping` is set."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def wait() -> None:
        stopping.wait()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=wait, daemon=True).start()
    await serve(engine, options, announce, over)


def announce(served: Served) -> None:
    """Print where the console is."""
    companion.write(logging.INFO, f"MoonPalace console => {served.url}")


if __name__ == "__main__":
    main()

"""Run the console for the user: print its address, open the browser, and stop on a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from moonpalace_cli.web.server import Options, Served, serve

if TYPE_CHECKING:
    from sqlalchemy import Engine


def run(engine: Engine, options: Options, *, opens: bool) -> None:
    """Serve until SIGINT or SIGTERM."""

    def announce(served: Served) -> None:
        click.echo(f"MoonPalace console => {served.url}", err=True)
        if opens and has_screen():
            # Starting a browser may take seconds. Its command line, which other users can read, has a ticket instead of
            # the token.
            threading.Thread(target=webbrowser.open, args=(served.ticket_url(),), daemon=True).start()

    asyncio.run(until_stopped(engine, options, announce))


async def until_stopped(engine: Engine, options: Options, is_ready: Callable[[Served], None]) -> None:
    """Serve until a signal."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":  # Windows, whose event loops have no signal handlers
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
        else:
            loop.add_signal_handler(number, stopping.set)
    await serve(engine, options, is_ready, stopping)


def has_screen() -> bool:
    """Return whether a browser would open a window: one in the terminal would take it over."""
    if not sys.stderr.isatty():
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

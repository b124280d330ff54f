"""A console in a separate thread."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from moonpalace_addons.settings.values import Settings
from moonpalace_cli.web.server import Options, Served, serve

TOKEN = "the-token-of-the-tests"


@contextmanager
def serving(engine: Engine, port: int = 0, settings: Settings | None = None) -> Iterator[Served]:
    """Serve a store on the loopback interface."""
    ready: queue.Queue[tuple[Served, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def run() -> None:
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        options = Options("127.0.0.1", port, TOKEN, settings=settings)
        await serve(engine, options, lambda served: ready.put((served, loop, stopping)), stopping)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    served, loop, stopping = ready.get(timeout=60)
    yield served
    loop.call_soon_threadsafe(stopping.set)
    thread.join(60)
    assert not thread.is_alive()

"""Throughput of the proxy while the console is open beside it and follows the calls, against the proxy alone.

    python -m tests.bench console [--rounds N] [--calls N] [--kind KIND] [--browser]

Without `--browser` a thread does what the page's script does: it waits for events, and gets the list again after each.
With it, a headless Chromium shows the page, and takes CPU of its own on the same machine.
"""

import argparse
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import httpx

from tests.bench.bench_throughput import LOADS, Proxy, await_port, command, free_port, new_store, process

ROUNDS, CALLS = 5, 20_000
"""Many calls, as a following page reloads in less than a second."""
TOKEN = "bench"
MIN_PAUSE, PAUSES = 0.25, 9
"""Seconds between an event and the list, at least, and times that the list took before, as in the page's script."""


def parsed_options() -> argparse.Namespace:
    """Return the options after the word `console`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench console")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--kind", action="append", help="one of the loads; json and stream20 by default")
    parser.add_argument("--browser", action="store_true")
    return parser.parse_args(sys.argv[2:])


class Follower:
    """Follow the list as the page does; `pages` counts the reloads."""

    def __init__(self, address: str) -> None:
        self.pages = 0
        self._address = address
        self._changed, self._over = threading.Event(), threading.Event()
        for work in (self._listen, self._refresh):
            threading.Thread(target=self._until_stopped, args=(work,), daemon=True).start()

    def _until_stopped(self, work: Callable[[], None]) -> None:
        try:
            work()
        except httpx.HTTPError:
            if not self._over.is_set():
                raise

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"}
        return httpx.Client(base_url=self._address, headers=headers, trust_env=False, timeout=60)

    def _listen(self) -> None:
        with self._client() as client, client.stream("GET", "/live") as events:
            for line in events.iter_lines():
                if line.startswith("event:"):
                    self._changed.set()
                if self._over.is_set():
                    return

    def _refresh(self) -> None:
        with self._client() as client:
            pause = MIN_PAUSE
            while not self._over.is_set():
                self._changed.wait()
                time.sleep(pause)
                self._changed.clear()
                began = time.monotonic()
                client.get("/").raise_for_status()
                pause = max(MIN_PAUSE, PAUSES * (time.monotonic() - began))
                self.pages += 1

    def stop(self) -> None:
        """Stop at the next event."""
        self._over.set()
        self._changed.set()


@contextmanager
def following(address: str, *, browser: bool) -> Iterator[str]:
    """Follow the list until the block ends."""
    if not browser:
        follower = Follower(address)
        yield "a thread that follows"
        follower.stop()
        print(f"   the list was read {follower.pages} times")  # noqa: T201
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(f"{address}/?token={TOKEN}")
        page.wait_for_selector("#live:not([hidden])")
        yield "Chromium that follows"
        chromium.close()


def time_console() -> Iterator[str]:
    """Measure calls per second of the proxy alone, and with a console that is followed, in turns."""
    options = parsed_options()
    os.environ["MOONPALACE_WEB_TOKEN"] = TOKEN
    upstream, console = free_port(), free_port()
    kinds = options.kind or ["json", "stream20"]
    with ExitStack() as stack:
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.load", "upstream", str(upstream)))
        proxies = []
        for name in ("mpal start", f"mpal start --console --console-port {console}"):
            port = free_port()
            proxies.append(Proxy(name, command(name, port, f"http://127.0.0.1:{upstream}"), port, new_store(stack)))
        for proxy in proxies:
            proxy.pid = stack.enter_context(process(proxy.port, *proxy.command, home=str(proxy.file.parent)))
        await_port(console)
        for kind, connections, share in LOADS:
            if kind not in kinds or connections != 16:
                continue
            ratios = []
            for _ in range(options.rounds):
                proxies[0].measure(kind, connections, int(options.calls * share))
                with following(f"http://127.0.0.1:{console}", browser=options.browser) as who:
                    proxies[1].measure(kind, connections, int(options.calls * share))
                ratios.append(proxies[1].rates[-1] / proxies[0].rates[-1])
            yield f"{kind}: {median(ratios):.3f} x the calls with {who} ({', '.join(f'{each:.3f}' for each in ratios)})"
            yield from lines(proxies)


def lines(proxies: list[Proxy]) -> Iterator[str]:
    """Yield the figures of each proxy, and reset them."""
    for proxy in proxies:
        main, every = (median(costs[at] for costs in proxy.costs) for at in (0, 1))
        name = proxy.name.partition(" --console-port")[0]
        yield f"  {name:<22} {median(proxy.rates):6.0f} calls/s ({main:.0f} us, {every:.0f} us of CPU per call)"
        proxy.rates.clear()
        proxy.costs.clear()

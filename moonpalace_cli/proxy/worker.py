"""One of several processes that serve on one port: `python -m moonpalace_cli.proxy.worker`, started by `workers`.

Standard input carries the settings, and reaches its end when the parent process exits. On standard output it reports,
in one line of JSON, that it is ready or why it did not start. Its log goes where the parent's goes.
"""

import json
import os
import pickle
import sys
import threading

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.values import Settings
from moonpalace_cli.deferred_imports import defer_package


class Parent:
    """Stop when the parent process exits."""

    name = "moonpalace-parent"

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def running(self) -> None:
        """Wait for the end of the parent's pipe."""
        from mitmproxy import ctx

        master = ctx.master

        def wait() -> None:
            while os.read(
                self._pipe, 1024
            ):  # a read of `sys.stdin` would hold its lock, which ends Python with an abort
                pass
            master.shutdown()

        threading.Thread(target=wait, name="moonpalace-parent", daemon=True).start()


def main() -> int:
    """Serve until a signal or the end of the parent; return the exit code."""
    settings: Settings = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    defer_package("mitmproxy.addons")  # as `mpal start` does
    from moonpalace_addons.engine import mode
    from moonpalace_cli.proxy import console_log, serving

    mode.share_port()
    log = console_log.install(settings)
    is_ready = threading.Event()

    def announce(url: str) -> None:
        is_ready.set()
        report({"url": url})

    try:
        serving.serve(settings, log, Parent(sys.stdin.fileno()), announce=announce)
    except MoonPalaceError as error:
        if not is_ready.is_set():
            report({"error": str(error)})
        return 1
    finally:
        log.finish()
    return 0


def report(message: dict[str, str]) -> None:
    """Report to the parent process."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

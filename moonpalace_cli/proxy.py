"""Run the addons in this process, on a mitmproxy master that has only what a reverse proxy needs."""

import asyncio
import logging
import os
import signal
import sys

from mitmproxy import options
from mitmproxy.addons.core import Core
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.log import MitmLogHandler
from mitmproxy.master import Master

from moonpalace_addons import upstream
from moonpalace_addons.bundle import make_addons
from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.reverse_proxy import reverse_mode
from moonpalace_addons.settings import Settings

SWITCH_INTERVAL = 0.0005
"""Seconds after which the writer's thread gives way to the event loop; Python's 5 ms would delay chunks by as much."""


class StartupCheck(MitmLogHandler):
    """Turn errors that mitmproxy logs while it starts into an exception; Master.run looks for it by this name."""

    name = "errorcheck"

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []
        self.install()

    def emit(self, record: logging.LogRecord) -> None:
        """Note an error."""
        self.errors.append(record.getMessage().removeprefix("Error: "))

    async def shutdown_if_errored(self) -> None:
        """Raise MoonPalaceError with the first error."""
        await asyncio.sleep(0)
        if self.errors:
            self.uninstall()
            raise MoonPalaceError(self.errors[0].splitlines()[0])

    def finish(self) -> None:
        """Stop noting: from now on an error is for the log."""
        self.uninstall()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises MoonPalaceError if the proxy cannot start."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """Serve on the running event loop."""
    upstream.listen_on_tcp_only(reverse_mode(settings))
    master = Master(mitmproxy_settings(settings))
    master.addons.add(Core(), Proxyserver(), NextLayer(), TlsConfig(), StartupCheck(), *make_addons(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if os.name == "posix":
            loop.add_signal_handler(number, master.shutdown)
        else:
            signal.signal(number, lambda *_: master.shutdown())
    await master.run()


def mitmproxy_settings(settings: Settings) -> options.Options:
    """Return mitmproxy's options with the address set, which must be known before the first socket is opened."""
    opts = options.Options()
    opts.update(
        confdir=str(settings.home / "mitmproxy"),
        mode=[reverse_mode(settings)],
        listen_host=settings.host,
        listen_port=settings.port,
    )
    return opts

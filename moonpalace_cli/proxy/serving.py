"""Run the addons in this process, on a mitmproxy master reduced to what a reverse proxy needs."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable

from mitmproxy import options
from mitmproxy.addons.core import Core
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.http import HTTPFlow
from mitmproxy.log import LegacyLogEvents, MitmLogHandler
from mitmproxy.master import Master

from moonpalace_addons.bundle import make_addons
from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.mitm.log_filter import ends_startup
from moonpalace_addons.mitm.proxy_server import listen_on_tcp_only, proxyserver
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.reverse_proxy import server_mode
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.database.private import make_home
from moonpalace_cli.listening import cannot_listen


class Tls(TlsConfig):
    """TLS of mitmproxy's own server, without checking every request for a revocation list."""

    name = "tlsconfig"

    def request(self, flow: HTTPFlow) -> None:
        """Do nothing: revocation lists are for clients of a forward proxy that issues certificates."""


class StartupCheck(MitmLogHandler):
    """Turn errors that mitmproxy logs during startup into an exception; Master.run finds it by this name."""

    name = "errorcheck"

    def __init__(self, settings: Settings, console: logging.Handler) -> None:
        super().__init__(logging.ERROR)  # type: ignore[no-untyped-call]
        self.addFilter(ends_startup)
        self.settings = settings
        self.console = console
        self.errors: list[str] = []
        # The exception's message need not be logged as well.
        console.addFilter(self._is_no_error)
        self.install()

    def emit(self, record: logging.LogRecord) -> None:
        """Record an error."""
        self.errors.append(record.getMessage().removeprefix("Error: "))

    async def shutdown_if_errored(self) -> None:
        """Raise MoonPalaceError with the reason if the proxy did not start."""
        await asyncio.sleep(0)
        if self.errors:
            self.uninstall()  # keeps mitmproxy's repetition out of the log
            raise MoonPalaceError(self._listening_failure() or self.errors[0].splitlines()[0])

    def _listening_failure(self) -> str | None:
        failures = (server.last_exception for server in proxyserver().servers)
        return next((cannot_listen(self.settings, each) for each in failures if isinstance(each, OSError)), None)

    def finish(self) -> None:
        """Stop recording: from now on errors go to the log."""
        self.console.removeFilter(self._is_no_error)
        self.uninstall()

    @staticmethod
    def _is_no_error(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or not ends_startup(record)


def serve(
    settings: Settings, console: logging.Handler, *more: object, announce: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; raise MoonPalaceError if the proxy cannot start.

    `more` are addons that come first; `announce` receives the base URL when the proxy is ready, instead of the log.
    """
    allow_many_connections()
    asyncio.run(run(settings, console, *more, announce=announce))


def serve_web(settings: Settings, console: logging.Handler, web_port: int) -> None:
    """Serve inside mitmweb, whose page listens on `web_port` of the loopback interface."""
    asyncio.run(run_web(settings, console, web_port))


def allow_many_connections() -> None:
    """Raise the limit of open files to the hard limit: a call takes two, and the default is often 1,024."""
    if sys.platform == "win32":
        return  # there is no limit that can be raised
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS reports a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def run(
    settings: Settings, console: logging.Handler, *more: object, announce: Callable[[str], None] | None = None
) -> None:
    """Serve on the running event loop."""
    master = Master(mitmproxy_settings(settings))
    leave_out_log_hooks()
    check = StartupCheck(settings, console)
    master.addons.add(Core(), Proxyserver(), NextLayer(), Tls(), check, *more, *make_addons(settings, announce))
    await run_master(master)


def leave_out_log_hooks() -> None:
    """Remove the hook for each log line, which wakes the event loop and is deprecated."""
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, LegacyLogEvents):
            handler.uninstall()


async def run_web(settings: Settings, console: logging.Handler, web_port: int) -> None:
    """Serve inside mitmweb on the running event loop."""
    # mitmweb costs another 0.2 s, for tornado and the addons that show flows.
    from mitmproxy.tools.web.master import WebMaster

    master = WebMaster(mitmproxy_settings(settings), with_termlog=False)
    master.addons.remove(master.addons.get("errorcheck"))
    master.addons.add(StartupCheck(settings, console), *make_addons(settings))
    master.options.update(web_port=web_port, web_open_browser=sys.stderr.isatty())
    logging.getLogger("mitmproxy.tools.web").setLevel(logging.INFO)  # prints the page's address, with its token
    await run_master(master)


async def run_master(master: Master) -> None:
    """Run a master until SIGTERM or SIGINT; the addon `Stopping` adds the end of the terminal.

    Raises MoonPalaceError if calls are lost at the end.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":  # Windows, whose event loops have no signal handlers
            signal.signal(number, lambda *_: master.shutdown())
        else:
            loop.add_signal_handler(number, master.shutdown)
    try:
        await master.run()
    finally:
        loop.set_exception_handler(ignore_cancellations)
    recorder = master.addons.get(Recorder.name)
    if isinstance(recorder, Recorder) and not recorder.is_complete:
        raise MoonPalaceError("not all calls could be stored: the log says how many, and why")


def ignore_cancellations(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log exceptions while the loop ends, except for cancelled calls, which older Pythons would log."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def mitmproxy_settings(settings: Settings) -> options.Options:
    """Return mitmproxy's options with the address but without a socket: the addons open it when they are ready."""
    make_home(settings.home)  # before mitmproxy makes it, readable for everybody, for its certificates
    mode = server_mode(settings)
    listen_on_tcp_only(mode)
    opts = options.Options()
    opts.update(
        confdir=str(settings.home / "mitmproxy"),
        mode=[mode],
        listen_host=settings.host,
        listen_port=settings.port,
        server=False,
    )
    return opts

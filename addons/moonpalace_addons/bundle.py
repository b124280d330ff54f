"""The list of addons, in the order in which mitmproxy calls them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from moonpalace_addons.access import Access
from moonpalace_addons.calls.call import Calls
from moonpalace_addons.capture import Capture
from moonpalace_addons.causes import Causes
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.context_cache import ContextCache
from moonpalace_addons.deadline import Deadline
from moonpalace_addons.descriptors import Descriptors
from moonpalace_addons.edit_stream import EditStream
from moonpalace_addons.force_stream import ForceStream
from moonpalace_addons.json_errors import JsonErrors
from moonpalace_addons.listening import Listening
from moonpalace_addons.mitm import log_filter
from moonpalace_addons.mitm.flow_view import flow_view
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.reverse_proxy import ReverseProxy
from moonpalace_addons.routing import Routing
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.stopping import Stopping
from moonpalace_addons.tunnels import Tunnels
from moonpalace_addons.web_console import WebConsole
from moonpalace_addons.websocket_injection import WebSocketInjection

if TYPE_CHECKING:
    from moonpalace_addons.live_commands import LiveCommands
    from moonpalace_addons.live_view import LiveView


def make_addons(settings: Settings | None = None, announce: Callable[[str], None] | None = None) -> list[object]:
    """Return new addons; without `settings`, they are resolved from mitmproxy's options, variables and config.yaml.

    `announce` is called with each base URL for clients; by default they are logged.

    The order matters. Access is first: if another addon fails at a request, mitmproxy skips those after it. Routing
    takes the names of endpoints out of paths, which no other addon expects there. Stopping
    precedes all that end with the proxy, as calls continue while it waits for them. ForceStream and ContextCache
    precede Capture, which records their changes; Capture precedes EditStream and JsonErrors, so that it sees the
    original answers and errors; LiveView, which only mitmweb and the console need, follows EditStream, so that it sees
    what clients get. The recorder follows Capture, so that calls that Capture ends at the shutdown are
    stored. ReverseProxy, which opens the sockets, and Listening, which then lets clients in, come after all that must
    be ready for calls; WebConsole, which is last, need not.
    """
    log_filter.install()
    configuration, calls = Configuration(settings), Calls()
    live = live_addons(configuration, calls) if flow_view() is not None else ()
    recorder = Recorder(configuration, exits=settings is None, on_row=live[0].put_row if live else None)
    causes = Causes()
    return [
        configuration,
        Access(configuration, calls),
        Routing(configuration),
        Stopping(configuration, calls),
        causes,
        ForceStream(configuration, calls),
        ContextCache(configuration, calls, recorder),
        Tunnels(configuration, calls, recorder),
        Capture(configuration, recorder, calls, causes.of),
        EditStream(configuration, calls),
        *live,
        recorder,
        Deadline(configuration, calls),
        Descriptors(configuration),
        JsonErrors(configuration, causes.of),
        WebSocketInjection(),
        ReverseProxy(configuration, opens=settings is not None),
        Listening(configuration, announce),
        WebConsole(configuration),
    ]


def live_addons(configuration: Configuration, calls: Calls) -> "tuple[LiveView, LiveCommands]":
    """Return the addons for a mitmproxy that shows flows; importing them costs `mpal start` some milliseconds."""
    from moonpalace_addons.live_commands import LiveCommands
    from moonpalace_addons.live_view import LiveView

    return LiveView(configuration, calls), LiveCommands(configuration)

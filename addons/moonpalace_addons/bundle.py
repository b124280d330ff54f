"""Put the addons together: which there are, and in which order mitmproxy calls them."""

from collections.abc import Callable

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
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.reverse_proxy import ReverseProxy
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.stopping import Stopping
from moonpalace_addons.tunnels import Tunnels


def make_addons(settings: Settings | None = None, announce: Callable[[str], None] | None = None) -> list[object]:
    """Return new addons; without `settings` they find them in mitmproxy's options, the environment and config.yaml.

    `announce` is told the base URLs for clients, by default the log is.

    The order matters. Access first: if another addon fails at a request, mitmproxy skips those after it. Stopping
    before all that ends with the proxy, since calls go on while it waits for them. Capture before what changes requests
    and errors, so that it sees what clients sent and what really went wrong; the context cache before it all the same,
    since it says what capture notes. The recorder after capture, so that what capture says at the end is still stored.
    Last what opens the sockets, and then what looks at them and lets clients in, for whom all
    others have to be ready.
    """
    log_filter.install()
    configuration, calls = Configuration(settings), Calls()
    recorder, causes = Recorder(configuration, exits=settings is None), Causes()
    return [
        configuration,
        Access(configuration, calls),
        Stopping(configuration, calls),
        causes,
        ForceStream(configuration, calls),
        ContextCache(configuration, calls, recorder),
        Tunnels(calls, recorder),
        Capture(configuration, recorder, calls, causes.of),
        EditStream(configuration, calls),
        recorder,
        Deadline(configuration, calls),
        Descriptors(configuration),
        JsonErrors(configuration, causes.of),
        ReverseProxy(configuration, opens=settings is not None),
        Listening(configuration, announce),
    ]

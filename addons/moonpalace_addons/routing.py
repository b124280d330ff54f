"""Send calls whose path begins with the name of an endpoint, `/@name/…`, to that endpoint."""

from collections.abc import Collection, Iterable

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.configuration import NAMED, REFUSED, Configuration
from moonpalace_addons.wire.faces.table import error_body
from moonpalace_addons.wire.foreign import quoted


class Routing:
    """Take the name out of the path, so that the other addons see the path that the API knows."""

    name = "moonpalace-routing"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    @property
    def unneeded(self) -> Collection[str]:
        """Return the hooks that do nothing if no endpoint has a name."""
        return () if self.configuration.by_name else ("requestheaders",)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Note the endpoint, or refuse an unknown name; Capture stores such a call like any other."""
        if flow.response is not None or not self.configuration.concerns(flow):
            return
        named = self.configuration.named(flow)
        if named is None:
            return
        name, rest = named
        if name not in self.configuration.by_name:
            flow.metadata[REFUSED] = why = unknown(name, self.configuration.by_name)
            body = error_body(why, "resource_not_found_error", flow.request.path)
            flow.response = Response.make(404, body, {"Content-Type": "application/json"})
            return
        flow.metadata[NAMED] = name
        flow.request.path = rest


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the error message for a client that names an unknown endpoint."""
    return f"MoonPalace has no endpoint called {quoted(name) or "''"}: config.yaml names {', '.join(known)}"

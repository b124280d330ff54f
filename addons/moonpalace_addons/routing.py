"""Send calls whose path begins with the name of an endpoint, `/@name/…`, to that endpoint."""

from collections.abc import Iterable

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.configuration import NAMED, Configuration
from moonpalace_addons.wire.faces.table import error_body
from moonpalace_addons.wire.foreign import quoted


class Routing:
    """Take the name out of the path, so that the other addons see the path that the API knows."""

    name = "moonpalace-routing"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Note the endpoint, or refuse a name that there is not."""
        if flow.response is not None or not self.configuration.concerns(flow):
            return
        found = self.configuration.named(flow)
        if found is None:
            return
        name, rest = found
        if name not in self.configuration.by_name:
            flow.response = unknown(name, flow.request.path, self.configuration.by_name)
            return
        flow.metadata[NAMED] = name
        flow.request.path = rest


def unknown(name: str, path: str, known: Iterable[str]) -> Response:
    """Return the answer to a call for an endpoint that is not configured."""
    names = ", ".join(known)
    why = f"MoonPalace has no endpoint called {quoted(name) or "''"}: config.yaml names {names}"
    body = error_body(why, "resource_not_found_error", path)
    return Response.make(404, body, {"Content-Type": "application/json"})

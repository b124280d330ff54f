"""Send calls whose path begins with the name of an endpoint, `/@name/…`, to that endpoint."""

from collections.abc import Iterable

from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.configuration import NAMED, Configuration, named_in
from moonpalace_addons.settings.endpoints import NAME_MARK
from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.foreign import quoted


class Routing:
    """Take the name out of the path, so that the other addons see the path that the API knows."""

    name = "moonpalace-routing"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Note the endpoint, or refuse a name that there is not."""
        known = self.configuration.by_name
        if not known or flow.response is not None or not self.configuration.concerns(flow):
            return
        name = named_in(flow.request.path)
        if name is None:
            return
        if name not in known:
            flow.response = unknown(name, flow.request.path, known)
            return
        rest = flow.request.path[len(NAME_MARK + name) :]
        flow.metadata[NAMED] = name
        flow.request.path = rest if rest.startswith("/") else f"/{rest}"


def unknown(name: str, path: str, known: Iterable[str]) -> Response:
    """Return the answer to a call for an endpoint that is not configured."""
    names = ", ".join(known)
    why = f"MoonPalace has no endpoint called {quoted(name)}: config.yaml names {names}"
    body = api_error.body(why, "resource_not_found_error", path)
    return Response.make(404, body, {"Content-Type": "application/json"})

"""Choose the tunnel for the protocol that the API has accepted."""

from typing import TYPE_CHECKING

from moonpalace_addons.engine.tunnel import Tunnel, WebSocketTunnel
from moonpalace_addons.engine.watching import WatchedTunnel

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.base_journey import BaseJourney


def make_tunnel(journey: "BaseJourney", api: "ApiConnection", rest: bytes) -> Tunnel:
    """Return the tunnel for an answer 101."""
    response, request = journey.flow.response, journey.flow.request
    upgrade = response.headers.get("upgrade", "") if response is not None else ""
    if upgrade.lower() != "websocket" or request.headers.get("sec-websocket-version") != "13":
        return Tunnel(journey, api, rest)
    is_watched = journey.service.hooks.only_watches("websocket_message")
    return (WatchedTunnel if is_watched else WebSocketTunnel)(journey, api, rest)

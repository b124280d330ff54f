"""Send a request to the API on a pooled or new connection, and resend it if a pooled one was closed."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from moonpalace_addons.engine import framing
from moonpalace_addons.engine.errors import CallError, InternalError
from moonpalace_addons.engine.phases import Phase
from moonpalace_addons.engine.targets import Target

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.base_journey import BaseJourney
    from moonpalace_addons.engine.service import Service

logger = logging.getLogger(__name__)


class UpstreamRequest:
    """The API's side of one call; `api` is its current connection."""

    def __init__(self, service: "Service") -> None:
        self.service = service
        self.api: ApiConnection | None = None
        self._is_second = False
        self._connecting: asyncio.Task[None] | None = None

    def send(self, journey: "BaseJourney") -> None:
        """Send the request of a call, on an idle connection if there is one."""
        data = journey.flow.request.data
        target = Target(data.scheme.decode(), data.host, data.port, journey.flow.server_conn.via)
        api = None if self._is_second else self.service.pool.take(target)
        if api is not None:
            self._send(journey, api)
        else:
            self._connecting = self.service.spawn(self._connect(journey, target))

    async def _connect(self, journey: "BaseJourney", target: Target) -> None:
        try:
            server = journey.client.server_for(journey.flow, target)
            api = await self.service.connector.connect(target, server, journey.client.connection)
        except CallError as error:
            journey.fail(error)
            return
        except Exception:
            logger.exception("ended a call because of a fault in MoonPalace")
            journey.fail(InternalError("internal error in MoonPalace, see its log"))
            return
        if journey.phase is Phase.OVER:
            self.service.pool.put(api)
        else:
            journey.guard(self._send, journey, api)

    def _send(self, journey: "BaseJourney", api: "ApiConnection") -> None:
        request = journey.flow.request
        self.api = api
        data = framing.request_bytes(request, upgrade=journey.head.upgrade)
        journey.flow.server_conn = api.server
        journey.active = time.time()
        api.send(journey, data, bodyless=request.data.method == b"HEAD")

    def resend(self, journey: "BaseJourney") -> bool:
        """Resend the request once on a new connection, if a reused one was closed before any answer."""
        api = self.api
        if api is None or not api.is_reused or api.has_answered or self._is_second:
            return False
        self.api = None
        self._is_second = True
        self.send(journey)
        return True

    def pause(self) -> None:
        """Pause reading."""
        if self.api is not None:
            self.api.pause()

    def resume(self) -> None:
        """Resume reading."""
        if self.api is not None:
            self.api.resume()

    def release(self) -> None:
        """Release the connection after the answer."""
        api, self.api = self.api, None
        if api is not None:
            api.release()

    def close(self) -> None:
        """Close the connection unless it was released, and cancel connecting."""
        api, self.api = self.api, None
        if api is not None:
            api.abort()
        connecting, self._connecting = self._connecting, None
        if connecting is not None and connecting is not asyncio.current_task():
            connecting.cancel()

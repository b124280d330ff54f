"""Asking the API: find or open a connection for a request, and send the request again if that was closed."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from moonpalace_addons.engine import framing
from moonpalace_addons.engine.errors import CallError, FaultError
from moonpalace_addons.engine.phases import Phase
from moonpalace_addons.engine.targets import Target

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.course import Course

logger = logging.getLogger(__name__)


class Inquiry:
    """The API's side of one call; `api` is the connection that carries it now."""

    def __init__(self, journey: "Course") -> None:
        self.journey = journey
        self.service = journey.service
        self.api: ApiConnection | None = None
        self._is_second = False
        self._connecting: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Send the request, on a connection that is open if there is one."""
        request = self.journey.flow.request
        target = Target(request.scheme, request.host, request.port, self.journey.flow.server_conn.via)
        api = None if self._is_second else self.service.pool.take(target)
        if api is not None:
            self._send(api)
        else:
            self._connecting = self.service.spawn(self._connect(target))

    async def _connect(self, target: Target) -> None:
        journey = self.journey
        try:
            server = journey.client.server_for(journey.flow, target)
            api = await self.service.connector.connect(target, server, journey.client.connection)
        except CallError as error:
            journey.fail(error)
            return
        except Exception:
            logger.exception("a call is ended because of a fault in MoonPalace")
            journey.fail(FaultError("there is a fault in MoonPalace, see its log"))
            return
        if journey.phase is Phase.OVER:
            self.service.pool.put(api)
        else:
            journey.guard(self._send, api)

    def _send(self, api: "ApiConnection") -> None:
        journey = self.journey
        request = journey.flow.request
        self.api = api
        data = framing.request_bytes(request, upgrade=journey.head.upgrade)
        journey.flow.server_conn = api.server
        journey.active = time.time()
        api.send(journey, data, bodyless=request.data.method == b"HEAD")

    def again(self) -> bool:
        """Ask again on a new connection if nothing has come on one that had been kept open: once."""
        api = self.api
        if api is None or not api.is_reused or api.has_answered or self._is_second:
            return False
        self.api = None
        self._is_second = True
        self.ask()
        return True

    def pause(self) -> None:
        """Read no more for now."""
        if self.api is not None:
            self.api.pause()

    def resume(self) -> None:
        """Read on."""
        if self.api is not None:
            self.api.resume()

    def done(self) -> None:
        """Give the connection back after the answer."""
        api, self.api = self.api, None
        if api is not None:
            api.release()

    def close(self) -> None:
        """Close the connection, unless it has been given back, or stop connecting."""
        api, self.api = self.api, None
        if api is not None:
            api.abort()
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()

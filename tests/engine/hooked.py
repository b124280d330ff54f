"""An addon that acts in hooks, and a call through them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy.http import HTTPFlow

from tests.engine.harness import Script, engine, read_head

POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
FLOW_HOOKS = ("requestheaders", "request", "responseheaders", "response", "error")
CONNECTION_HOOKS = (
    "client_connected",
    "client_disconnected",
    "server_connect",
    "server_connected",
    "server_connect_error",
    "server_disconnected",
)
type Act = Callable[[Any], Awaitable[None] | None]


class Acting:
    """Record all hooks, and act in some."""

    def __init__(self, **acts: Act) -> None:
        self.acts = acts
        self.hooks: list[str] = []
        self.flows: dict[str, HTTPFlow] = {}
        for name in FLOW_HOOKS + CONNECTION_HOOKS:
            setattr(self, name, self._hook(name))

    def _hook(self, name: str) -> Act:
        def hook(data: Any) -> Awaitable[None] | None:
            self.hooks.append(name)
            if isinstance(data, HTTPFlow):
                self.flows[data.id] = data
            act = self.acts.get(name)
            return act(data) if act is not None else None

        return hook

    def flow(self) -> HTTPFlow:
        """Return the only flow; no property, since mitmproxy reads all attributes of an addon."""
        (flow,) = self.flows.values()
        return flow

    @property
    def of_flow(self) -> list[str]:
        """Return the hooks of flows."""
        return [hook for hook in self.hooks if hook in FLOW_HOOKS]


def call(acting: Acting, script: Script | None = None, request: bytes = POST, **options: Any) -> bytes:
    """Make a call and close the connection; return the answer."""

    async def run() -> bytes:
        async with engine(script or Script([(request, OK)]), acting, **options) as running:
            reader, writer = await running.connect()
            writer.write(request)
            got = await read_head(reader) if acting.acts.get("error") is None else b""
            if b"chunked" in got:
                got += await reader.readuntil(b"0\r\n\r\n")
            elif b"Content-Length: " in got:
                got += await reader.readexactly(int(got.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
            writer.close()
            while "client_disconnected" not in acting.hooks:  # noqa: ASYNC110
                await asyncio.sleep(0)
            return got

    return asyncio.run(run())

"""Requests of our own to the API, which go the way that calls go: same certificates, same outgoing proxy."""

import time

from mitmproxy import ctx
from mitmproxy.connection import Client, Server
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow, Request
from mitmproxy.proxy.commands import StartHook

MAX_FETCHED = 16_000_000
OWN = "moonpalace_own"
"""Set in the metadata of a flow that no client began."""


def is_own(flow: HTTPFlow) -> bool:
    """Tell whether a flow is a request of our own."""
    return OWN in flow.metadata


async def fetch(request: Request) -> HTTPFlow:
    """Send a request of our own the way that calls go: same certificates, same outgoing proxy. Return its flow.

    The flow has a response or an error: this too if the answer has more than `MAX_FETCHED` bytes. Cancelling closes the
    connection. What listens to mitmproxy's hooks sees it.
    """
    # It brings half of mitmproxy's event loop of replays, which only caches need.
    from mitmproxy.addons.clientplayback import ReplayHandler

    nowhere = ("127.0.0.1", 0)
    client = Client(peername=nowhere, sockname=nowhere, timestamp_start=time.time())
    flow = HTTPFlow(client, Server(address=(request.host, request.port)))
    flow.request = request
    flow.metadata[OWN] = True
    fetched = bytearray()

    def keep(data: bytes) -> list[bytes]:
        fetched.extend(data)
        if len(fetched) > MAX_FETCHED:
            flow.error = Error(f"an answer of more than {MAX_FETCHED} bytes")
            handler.done.set()
        return []

    class Sending(ReplayHandler):
        async def handle_hook(self, hook: StartHook) -> None:
            if hook.name == "responseheaders" and flow.response is not None:
                flow.response.stream = keep
            await super().handle_hook(hook)

    handler = Sending(flow, ctx.options)
    try:
        await handler.replay()
        if flow.response is not None:
            flow.response.raw_content = bytes(fetched)
    finally:
        for transport in list(handler.transports.values()):
            if transport.handler is not None:
                transport.handler.cancel()
    return flow

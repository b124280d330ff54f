"""Requests of our own to the API, with the same certificates and outgoing proxy as calls."""

import time

from mitmproxy import ctx
from mitmproxy.connection import Client, Server
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow, Request
from mitmproxy.proxy.commands import StartHook

MAX_ANSWER_SIZE = 16_000_000
OWN = "moonpalace_own"
"""Metadata key of a flow that no client started."""


def is_own(flow: HTTPFlow) -> bool:
    """Return whether a flow is one of our own requests."""
    return OWN in flow.metadata


async def fetch(request: Request) -> HTTPFlow:
    """Send a request of our own, with the same certificates and outgoing proxy as calls, and return its flow.

    The flow has a response or an error; an answer larger than `MAX_ANSWER_SIZE` bytes is an error. Cancelling closes
    the connection. Addons see the flow in mitmproxy's hooks.
    """
    # Imported here, as it is slow and only caches need it.
    from mitmproxy.addons.clientplayback import ReplayHandler

    nowhere = ("127.0.0.1", 0)
    client = Client(peername=nowhere, sockname=nowhere, timestamp_start=time.time())
    flow = HTTPFlow(client, Server(address=(request.host, request.port)))
    flow.request = request
    flow.metadata[OWN] = True
    fetched = bytearray()

    def keep(data: bytes) -> list[bytes]:
        fetched.extend(data)
        if len(fetched) > MAX_ANSWER_SIZE:
            flow.error = Error(f"an answer larger than {MAX_ANSWER_SIZE} bytes")
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

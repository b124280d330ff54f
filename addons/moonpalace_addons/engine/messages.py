"""Create mitmproxy's flows and messages from parsed heads.

`http.Request(…)` converts and checks the type of each field, which takes 0.1 ms; the values here already have the right
types. A test compares the results with flows and messages from the ordinary constructors.
"""

import time
from typing import cast

from mitmproxy.connection import Client, Server
from mitmproxy.http import HTTPFlow, Request, RequestData, Response, ResponseData

from moonpalace_addons.calls.ordered_uuid import ordered_uuid
from moonpalace_addons.engine.events import RequestHead, ResponseHead
from moonpalace_addons.mitm.quick_headers import make_headers

_FLOW = tuple(vars(HTTPFlow(cast(Client, None), cast(Server, None), live=True)).items())
"""The attributes of a new flow."""


def make_flow(client: Client, server: Server, request: Request) -> HTTPFlow:
    """Return a live flow, whose ID begins with the time."""
    flow = HTTPFlow.__new__(HTTPFlow)
    for name, value in _FLOW:  # attributes that are set like this are found faster than those put into `vars(flow)`
        setattr(flow, name, value)
    flow.id = ordered_uuid()
    flow.client_conn = client
    flow.server_conn = server
    flow.request = request
    flow.metadata = {}
    flow.timestamp_created = time.time()
    return flow


def make_request(head: RequestHead, path: bytes, scheme: bytes, host: str, port: int, started: float) -> Request:
    """Return a request without its body; `started` is when its first byte arrived, in seconds since the epoch."""
    data = RequestData.__new__(RequestData)
    data.http_version = head.version
    data.headers = make_headers(head.fields, head.named)
    data.content = None
    data.trailers = None
    data.timestamp_start = started
    data.timestamp_end = None
    data.host = host
    data.port = port
    data.method = head.method
    data.scheme = scheme
    data.authority = b""
    data.path = path
    request = Request.__new__(Request)
    request.data = data
    return request


def make_response(head: ResponseHead, started: float) -> Response:
    """Return an answer without its body."""
    data = ResponseData.__new__(ResponseData)
    data.http_version = head.version
    data.headers = make_headers(head.fields, head.named)
    data.content = None
    data.trailers = None
    data.timestamp_start = started
    data.timestamp_end = None
    data.status_code = head.status
    data.reason = head.reason
    response = Response.__new__(Response)
    response.data = data
    return response

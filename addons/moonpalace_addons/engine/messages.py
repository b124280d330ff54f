"""Create mitmproxy's flows and messages from parsed heads.

`http.Request(…)` converts and checks the type of each field, which takes 0.1 ms; the values here already have the right
types. A test compares the results with flows and messages from the ordinary constructors.
"""

import time
from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType
from typing import cast

from mitmproxy.connection import Client, Server
from mitmproxy.http import Headers, HTTPFlow, Request, RequestData, Response, ResponseData

from moonpalace_addons.calls.ordered_uuid import ordered_uuid
from moonpalace_addons.engine.events import RequestHead, ResponseHead
from moonpalace_addons.wire.header_fields import Fields, Named, by_name


@lru_cache(512)
def _indexed_name(name: str | bytes) -> bytes:
    """Return a name as it is in the index. Cached, as addons ask for the same names in every call."""
    return (name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name).lower()


class QuickHeaders(Headers):
    """Headers with an index by name: lookups, of which addons do a dozen per call, cost a tenth."""

    _by_name: Named = MappingProxyType({})
    _indexed: object = None
    """The fields that `_by_name` indexes; any change of the headers replaces them."""

    def index(self, named: Named) -> None:
        """Use an index of the present fields that was made before."""
        self._by_name, self._indexed = named, self.fields

    def _value(self, name: str | bytes) -> bytes | None:
        if self._indexed is not self.fields:
            self.index(by_name(self.fields))
        return self._by_name.get(_indexed_name(name))

    def _is_single(self, name: str | bytes) -> bool:
        """Tell whether there is a field with a name, and no name twice."""
        return self._value(name) is not None and len(self._by_name) == len(self.fields)

    def get_all(self, name: str | bytes) -> list[str]:
        """Return the values of all fields with a name."""
        return [self[name]] if self._is_single(name) else super().get_all(name)

    def get(self, key: str | bytes, default: object = None) -> object:
        """Return the values of a name joined by commas, or the default."""
        value = self._value(key)
        return default if value is None else value.decode("utf-8", "surrogateescape")

    def __getitem__(self, key: str | bytes) -> str:
        """Return the values of a name joined by commas; raise KeyError if there are none."""
        if (value := self._value(key)) is None:
            raise KeyError(key)
        return value.decode("utf-8", "surrogateescape")

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a field with a name."""
        return self._value(cast(str, key)) is not None

    def set_all(self, name: str | bytes, values: Iterable[str | bytes]) -> None:
        """Set all fields of a name; replacing a single field by a single value keeps its position."""
        given = list(values)
        if len(given) != 1 or not self._is_single(name):
            super().set_all(name, given)
            return
        sought, value = _indexed_name(name), given[0]
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        at, old = next((at, each) for at, (each, _) in enumerate(self.fields) if each.lower() == sought)
        self.fields = (*self.fields[:at], (old, value), *self.fields[at + 1 :])
        self.index({**self._by_name, sought: value})


def make_headers(fields: Fields, named: Named | None = None) -> Headers:
    """Return mitmproxy's headers for parsed fields, whose index may be there already."""
    headers = QuickHeaders.__new__(QuickHeaders)
    headers.fields = tuple(fields)
    if named is not None:
        headers.index(named)
    return headers


_FLOW = vars(HTTPFlow(cast(Client, None), cast(Server, None), live=True))
"""The attributes of a new flow."""


def make_flow(client: Client, server: Server, request: Request) -> HTTPFlow:
    """Return a live flow, whose ID begins with the time."""
    flow = HTTPFlow.__new__(HTTPFlow)
    vars(flow).update(_FLOW)
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

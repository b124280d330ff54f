"""Make mitmproxy's messages of what was read.

`http.Request(…)` converts and checks the type of each field, which takes a tenth of a millisecond; what is given here
has the right types. A test compares with messages that were made in the ordinary way.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

from mitmproxy.http import Headers, Request, RequestData, Response, ResponseData

from moonpalace_addons.engine.events import Fields, RequestHead, ResponseHead


class QuickHeaders(Headers):
    """Header fields that are looked up at a tenth of the cost, which addons do a dozen times for each call."""

    _by_name: Mapping[bytes, list[bytes]] = MappingProxyType({})
    _indexed: object = None
    """The fields that `_by_name` is of: whoever changes a header makes new ones."""

    def _values(self, name: str | bytes) -> Sequence[bytes]:
        if self._indexed is not self.fields:
            found: dict[bytes, list[bytes]] = {}
            for each, value in self.fields:
                found.setdefault(each.lower(), []).append(value)
            self._by_name, self._indexed = found, self.fields
        sought = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
        return self._by_name.get(sought.lower(), ())

    def get_all(self, name: str | bytes) -> list[str]:
        """Return the values of all fields of a name."""
        return [value.decode("utf-8", "surrogateescape") for value in self._values(name)]

    def get(self, key: str | bytes, default: object = None) -> object:
        """Return the values of a name, with commas between them, or else the default."""
        values = self._values(key)
        return b", ".join(values).decode("utf-8", "surrogateescape") if values else default

    def __getitem__(self, key: str | bytes) -> str:
        """Return them; raise KeyError if there are none."""
        if not (values := self._values(key)):
            raise KeyError(key)
        return b", ".join(values).decode("utf-8", "surrogateescape")

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a field of a name."""
        return bool(self._values(cast(str, key)))

    def set_all(self, name: str | bytes, values: Iterable[str | bytes]) -> None:
        """Set all fields of a name; one that is there once, to a single value, is changed in its place."""
        given = list(values)
        if len(given) != 1 or len(self._values(name)) != 1:
            super().set_all(name, given)
            return
        sought, value = (
            each.encode("utf-8", "surrogateescape") if isinstance(each, str) else each for each in (name, given[0])
        )
        sought = sought.lower()
        self.fields = tuple([(each, value if each.lower() == sought else old) for each, old in self.fields])


def make_headers(fields: Fields) -> Headers:
    """Return header fields as mitmproxy has them."""
    headers = QuickHeaders.__new__(QuickHeaders)
    headers.fields = tuple(fields)
    return headers


def make_request(head: RequestHead, path: bytes, scheme: bytes, host: str, port: int, started: float) -> Request:
    """Return a request whose body has not come yet; `started` is when its first byte came, in seconds of the epoch."""
    data = RequestData.__new__(RequestData)
    data.http_version = head.version
    data.headers = make_headers(head.fields)
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
    """Return an answer whose body has not come yet."""
    data = ResponseData.__new__(ResponseData)
    data.http_version = head.version
    data.headers = make_headers(head.fields)
    data.content = None
    data.trailers = None
    data.timestamp_start = started
    data.timestamp_end = None
    data.status_code = head.status
    data.reason = head.reason
    response = Response.__new__(Response)
    response.data = data
    return response

"""Serialize HTTP/1.1 heads and bodies. Sans-IO.

The framing of a body is always ours and unambiguous, whatever the addons left in the headers. Hop-by-hop fields (RFC
9110, section 7.6.1) are not forwarded. All other fields keep their spelling, order and number.
"""

from collections.abc import Sequence
from http import HTTPStatus

from mitmproxy.http import Headers, Request, Response

from moonpalace_addons.engine.errors import InternalError
from moonpalace_addons.engine.targets import authority_of
from moonpalace_addons.mitm.quick_headers import named_fields

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings", b"te")
)
FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_SPECIAL = HOP_BY_HOP | FRAMING
_LENGTHS = frozenset(map(len, _SPECIAL))
END_TO_END = frozenset(
    (b"host", b"content-length", b"content-type", b"content-encoding", b"authorization", b"x-api-key", b"api-key")
)
"""Fields that are always forwarded, even if a Connection header names them."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
LARGE_BODY_SIZE = 65_536
"""Bytes from which a body is written separately instead of being copied after its head."""


def request_bytes(request: Request, *, upgrade: bool) -> list[bytes]:
    """Return the bytes of a request to the API, as pieces."""
    data = request.data
    body = data.content or b""
    named = named_fields(data.headers)
    chunked = bool(data.trailers) or b"transfer-encoding" in named
    lines = [b"%b %b HTTP/1.1\r\n" % (data.method, data.path)]
    if b"host" not in named:
        lines.append(b"Host: %b\r\n" % authority_of(request.scheme, data.host, data.port))
    if chunked:
        length_field: bytes | None = b"Transfer-Encoding: chunked\r\n"
    elif body or b"content-length" in named or data.method in (b"POST", b"PUT", b"PATCH"):
        length_field = b"Content-Length: %d\r\n" % len(body)
    else:
        length_field = None
    length_field = _add_fields(lines, data.headers, length_field)
    if length_field is not None:
        lines.append(length_field)
    if upgrade:
        lines += [b"Connection: Upgrade\r\n", b"Upgrade: %b\r\n" % upgrade_of(data.headers)]
    head = _join_head(lines)
    if not chunked:
        return [head + body] if len(body) < LARGE_BODY_SIZE else [head, body]
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return [head, chunk, last_chunk(data.trailers)]


def response_head(response: Response, length_field: bytes | None, connection: bytes | None) -> bytes:
    """Return the head of an answer; `length_field` is its framing field, `connection` the value of Connection."""
    data = response.data
    lines = [b"HTTP/1.1 %d %b\r\n" % (data.status_code, data.reason)]
    length_field = _add_fields(lines, data.headers, length_field)
    if length_field is not None:
        lines.append(length_field)
    if connection is not None:
        lines.append(b"Connection: %b\r\n" % connection)
    return _join_head(lines)


def _add_fields(lines: list[bytes], headers: Headers, length_field: bytes | None) -> bytes | None:
    """Append the forwarded fields, with `length_field` in place of the first framing field; return it if not placed."""
    fields = headers.fields
    named: Sequence[bytes] = ()
    for name, value in fields:
        if len(name) in _LENGTHS and (lower := name.lower()) in _SPECIAL:
            if lower in FRAMING:
                if length_field is not None:
                    lines.append(length_field)
                    length_field = None
            elif lower == b"connection":
                named = [*named, *_nominated(value)]
            elif lower == b"te" and value.lower() == b"trailers":
                lines.append(b"%b: %b\r\n" % (name, value))
        else:
            lines.append(b"%b: %b\r\n" % (name, value))
    if named:
        lines[1:] = [line for line in lines[1:] if line.partition(b":")[0].lower() not in named]
    return length_field


def _nominated(value: bytes) -> list[bytes]:
    """Return the names of hop-by-hop fields in a Connection header."""
    names = [name.strip().lower() for name in value.split(b",")]
    return [name for name in names if name and name not in END_TO_END and name not in _SPECIAL and name != b"close"]


def _join_head(lines: list[bytes]) -> bytes:
    """Return these lines as a head; raise InternalError if an addon put a line end or a NUL into one of them."""
    lines.append(b"\r\n")
    head = b"".join(lines)
    ends = len(lines)
    if head.count(b"\n") != ends or head.count(b"\r") != ends or 0 in head:
        raise InternalError("an addon has put a line end into a header")
    return head


def last_chunk(trailers: Headers | None) -> bytes:
    """Return the last chunk and the trailers."""
    if not trailers:
        return LAST_CHUNK
    return _join_head([b"0\r\n", *(b"%b: %b\r\n" % field for field in trailers.fields)])


def interim_head(status: int, reason: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of an interim answer (1xx)."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    lines += [b"%b: %b\r\n" % field for field in fields if field[0].lower() not in _SPECIAL]
    return _join_head(lines)


def switch_head(response: Response) -> bytes:
    """Return the head of an answer 101."""
    lines = [b"HTTP/1.1 101 %b\r\n" % response.data.reason]
    lines += [b"Connection: Upgrade\r\n", b"Upgrade: %b\r\n" % upgrade_of(response.data.headers)]
    _add_fields(lines, response.data.headers, None)
    return _join_head(lines)


def upgrade_of(headers: Headers) -> bytes:
    """Return the value of the Upgrade field."""
    protocol: str = headers.get("upgrade", "")
    return protocol.encode("utf-8", "surrogateescape")


def plain_answer(status: int, body: bytes, *, with_body: bool = True) -> bytes:
    """Return a complete JSON answer of our own, with `Connection: close`."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    return head + body if with_body else head


class Body:
    """The framing of an answer's body for its client.

    `line` is its field in the head, `left` the number of bytes remaining of a Content-Length.
    """

    def __init__(self, line: bytes | None, *, chunked: bool, left: int | None, ends_connection: bool) -> None:
        self.line = line
        self.chunked = chunked
        self.left = left
        self.ends_connection = ends_connection

    def encode(self, pieces: Sequence[bytes]) -> bytes:
        """Return pieces as framed bytes; raise InternalError if they exceed the Content-Length."""
        if self.chunked:
            return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece])
        data = b"".join(pieces)
        if self.left is not None:
            self.left -= len(data)
            if self.left < 0:
                raise InternalError("the answer is longer than its Content-Length")
        return data

    def end(self, trailers: Headers | None) -> bytes:
        """Return the end of the body; raise InternalError if it is shorter than its Content-Length."""
        if self.left:
            raise InternalError("the answer is shorter than its Content-Length")
        return last_chunk(trailers) if self.chunked else b""


def no_body(response: Response, method: bytes) -> Body | None:
    """Return the framing of an answer that has no body because of its status or method, or None."""
    status = response.data.status_code
    if not (method == b"HEAD" or status in (204, 304) or status < 200):
        return None
    has_length = method == b"HEAD" or status == 304
    length = named_fields(response.data.headers).get(b"content-length", b"") if has_length else b""
    line = b"Content-Length: %b\r\n" % length if length.isdigit() else None
    return Body(line, chunked=False, left=0, ends_connection=False)


def streamed_body(response: Response, version: bytes) -> Body:
    """Return the framing of a streamed answer."""
    named = named_fields(response.data.headers)
    length = named.get(b"content-length", b"")
    if length.isdigit() and b"transfer-encoding" not in named:
        size = int(length)
        return Body(b"Content-Length: %d\r\n" % size, chunked=False, left=size, ends_connection=False)
    if version == b"HTTP/1.0":
        return Body(None, chunked=False, left=None, ends_connection=True)
    return Body(b"Transfer-Encoding: chunked\r\n", chunked=True, left=None, ends_connection=False)


def whole_body(response: Response, version: bytes) -> tuple[Body, bytes]:
    """Return the framing of an answer whose body is complete, and the framed body."""
    content = response.data.content or b""
    is_chunked = response.data.trailers or b"transfer-encoding" in named_fields(response.data.headers)
    if version == b"HTTP/1.1" and is_chunked:
        body = Body(b"Transfer-Encoding: chunked\r\n", chunked=True, left=None, ends_connection=False)
        return body, body.encode([content]) + last_chunk(response.data.trailers)
    line = b"Content-Length: %d\r\n" % len(content)
    return Body(line, chunked=False, left=0, ends_connection=False), content

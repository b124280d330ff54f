"""Parse HTTP/1.1 into events, on httptools (llhttp in strict mode). Sans-IO.

llhttp checks the grammar and rejects ambiguity: two lengths, bare line feeds, obsolete folding, invalid chunk sizes.
This module checks the rest: versions, Host, transfer codings, and limits.
"""

import re
from collections.abc import Callable

import httptools

from moonpalace_addons.engine.errors import CallError, RequestError, ResponseError
from moonpalace_addons.engine.events import End, Event, Malformed, Pieces, RequestHead, ResponseHead, Switch
from moonpalace_addons.engine.limits import MAX_CHUNKS, MAX_HEADER_FIELDS, MAX_INTERIM_RESPONSES
from moonpalace_addons.wire.header_fields import Fields, Named, by_name

_INVALID_IN_HOST = re.compile(rb"[ \t,/@]")
"""A comma also joins two of them."""
VERSIONS = {"1.0": b"HTTP/1.0", "1.1": b"HTTP/1.1"}


class _Reader:
    """Base of both parsers. `is_partial` tells whether a message has begun but not ended."""

    def __init__(self, make: "Callable[[object], httptools.HttpRequestParser | httptools.HttpResponseParser]") -> None:
        self._parser = make(self)
        self._events: list[Event] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self.is_partial = False
        self._broken = False

    def _refuse(self, why: str, status: int = 400) -> CallError:
        raise NotImplementedError

    def feed(self, data: bytes, max_head: int) -> list[Event]:
        """Return the events of the next bytes; none after `Malformed`."""
        events: list[Event] = []
        if self._broken:
            return events
        self._events = events
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :], max_head)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, CallError):
                raise
            self._break(error.__context__)
        except httptools.HttpParserError as error:
            self._break(self._translate(error))
        else:
            if self._head_size > max_head:
                self._break(self._refuse("its head is too large", 431))
        events, self._events = self._events, []  # an idle connection need not keep the last body
        return events

    def stop(self) -> None:
        """Ignore all further data, and drop the parser, which refers to this object."""
        self._broken = True
        vars(self).pop("_parser", None)

    def _break(self, error: CallError) -> None:
        self._broken = True
        self._events.append(Malformed(error))

    def _translate(self, error: httptools.HttpParserError) -> CallError:
        return self._refuse(f"it is not valid HTTP: {error}")

    def _switch(self, rest: bytes, max_head: int) -> None:
        self._events.append(Switch(rest))

    # ---- called by httptools ----

    def on_message_begin(self) -> None:
        """Handle the start of a message."""
        self.is_partial = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header or trailer field."""
        if len(self._fields) >= MAX_HEADER_FIELDS:
            raise self._refuse("it has too many header fields", 431)
        self._fields.append((name, value.rstrip(b" \t")))

    def on_body(self, piece: bytes) -> None:
        """Collect a piece of a body."""
        self._head_size = 0
        if self._events and type(last := self._events[-1]) is Pieces:
            last.pieces.append(piece)
        else:
            self._events.append(Pieces([piece]))

    def on_chunk_header(self) -> None:
        """Handle the start of a chunk."""
        self._head_size = 0

    def _framing(self, version: bytes, named: Named) -> tuple[int | None, bool]:
        """Return the Content-Length, if any, and whether the body is chunked."""
        coding = named.get(b"transfer-encoding")
        if coding is None:
            length = named.get(b"content-length")
            return None if length is None else int(length), False  # llhttp has checked it
        if version == b"HTTP/1.0":
            raise self._refuse("HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise self._refuse("its Transfer-Encoding is not supported", 501)
        return None, True

    def _version(self) -> bytes:
        version = VERSIONS.get(self._parser.get_http_version())
        if version is None:
            raise self._refuse("its HTTP version is not supported", 505)
        return version

    def _emit_end(self, trailers: Fields) -> None:
        last = self._events[-1] if self._events else None
        if type(last) is Pieces:
            self._events[-1] = End(trailers, last.pieces)
        else:
            self._events.append(End(trailers, []))

    def _take_fields(self) -> Fields:
        fields, self._fields = self._fields, []
        return fields


class RequestReader(_Reader):
    """Parser of the requests of a client's connection."""

    _parser: httptools.HttpRequestParser

    def __init__(self) -> None:
        super().__init__(httptools.HttpRequestParser)
        self._target = b""
        self._raw_target = b""
        self._line = bytearray()
        self._head: RequestHead | None = None
        self._parses_upgrade_body = False
        self._chunks = 0

    def feed(self, data: bytes, max_head: int) -> list[Event]:
        """Return the events of the next bytes; none after `Malformed`."""
        if (self.is_partial and not self._line) or self._broken:
            return super().feed(data, max_head)
        line, end = (data, data.find(b"\n", 2)) if not self._line else self._with_line(data)
        if end < 0:
            self._buffer_line(data)
            return super().feed(b"", max_head) if len(self._line) <= max_head else self._too_long()
        self._line.clear()
        return super().feed(line if line[:end].isascii() else self._mask_target(line, end), max_head)

    def _with_line(self, data: bytes) -> tuple[bytes, int]:
        """Return the buffered part of a request line with the new data, and the position of the line's end."""
        kept = len(self._line)
        self._line += data
        end = self._line.find(b"\n", max(kept, 2))
        line = bytes(self._line)
        if end < 0:
            del self._line[kept:]
        return line, end

    def _buffer_line(self, data: bytes) -> None:
        self._line += data
        self.is_partial = bool(self._line.strip(b"\r\n"))

    def _too_long(self) -> list[Event]:
        self._events = []
        self._break(self._refuse("its first line is too long", 414))
        return self._events

    def _mask_target(self, data: bytes, end: int) -> bytes:
        """Store a target with non-ASCII bytes, and return the data with a replacement of the same length for llhttp.

        llhttp rejects such bytes, but some clients send unescaped UTF-8, which is unambiguous.
        """
        method, _, rest = data[:end].partition(b" ")
        self._raw_target = rest.rpartition(b" ")[0]
        return method + b" " + bytes(byte if byte < 128 else 120 for byte in rest) + data[end:]

    def _refuse(self, why: str, status: int = 400) -> CallError:
        return RequestError(f"the request cannot be read: {why}", status)

    def _translate(self, error: httptools.HttpParserError) -> CallError:
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            return self._refuse("its method is unknown", 501)
        if self._parser.get_method() == b"PRI":
            return self._refuse("HTTP/2 is not supported", 505)
        return super()._translate(error)

    def on_url(self, target: bytes) -> None:
        """Collect the target, which may arrive in parts."""
        self._target += target

    def on_chunk_header(self) -> None:
        """Count the chunks, and enforce their limit."""
        super().on_chunk_header()
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise self._refuse(f"its body has more than {MAX_CHUNKS} chunks")

    def on_headers_complete(self) -> None:
        """Check the head, and emit it."""
        self._chunks = 0
        if self._parses_upgrade_body:
            return
        self._head_size = 0
        version = self._version()
        fields = self._take_fields()
        length, chunked = self._framing(version, named := by_name(fields))
        parser = self._parser
        self._head = head = RequestHead(
            parser.get_method(),
            self._raw_target if len(self._raw_target) == len(self._target) else self._target,
            version,
            fields,
            named,
            parser.should_keep_alive(),
            length,
            chunked,
            parser.should_upgrade(),
        )
        self._target = self._raw_target = b""
        check_host(head)
        self._events.append(head)

    def on_message_complete(self) -> None:
        """Emit the end, unless a request with Upgrade has a body, which llhttp leaves to us."""
        head = self._head
        if head is not None and head.upgrade and head.has_body and not self._parses_upgrade_body:
            return
        self._head = None
        self.is_partial = self._parses_upgrade_body = False
        self._head_size = 0
        self._emit_end(self._take_fields() if head is not None and head.chunked else [])

    def _switch(self, rest: bytes, max_head: int) -> None:
        head = self._head
        if head is None or not head.has_body:
            super()._switch(rest, max_head)
            return
        # Parse the body as that of a request without Upgrade, whose head is not emitted again.
        self._parser = httptools.HttpRequestParser(self)
        self._parses_upgrade_body = True
        framing = b"Transfer-Encoding: chunked" if head.chunked else b"Content-Length: %d" % (head.length or 0)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        self._fields, self._target, events = [], b"", self._events
        self._events = events + self.feed(rest, max_head)


def check_host(head: RequestHead) -> None:
    """Raise RequestError unless a request has exactly one valid Host (none is allowed in HTTP/1.0)."""
    host = head.named.get(b"host")
    if host is None and head.version == b"HTTP/1.1":
        raise RequestError("the request has no Host header")
    if host is None or not _INVALID_IN_HOST.search(host):
        return
    count = [name.lower() for name, _ in head.fields].count(b"host")
    raise RequestError(
        f"the request has {count} Host headers instead of one" if count > 1 else "the request's Host is invalid"
    )


class ResponseReader(_Reader):
    """Parser of one answer; `bodyless` means that it has no body whatever its head says (HEAD, CONNECT).

    Afterwards `keep_alive` tells whether the connection may be reused.
    """

    _parser: httptools.HttpResponseParser

    def __init__(self, *, bodyless: bool) -> None:
        super().__init__(httptools.HttpResponseParser)
        self._begin(bodyless=bodyless)

    def _begin(self, *, bodyless: bool) -> None:
        self._bodyless = bodyless
        self._reason = b""
        self._interim = self._head_size = 0
        self._until_close = self._is_ready = False
        self.keep_alive = self.has_begun = self.is_over = False

    def next(self, *, bodyless: bool) -> "ResponseReader":
        """Return the reader of the connection's next answer: this one, unless its parser still expects something."""
        if self._broken or not (self.keep_alive and self._is_ready):
            return ResponseReader(bodyless=bodyless)
        self._begin(bodyless=bodyless)
        return self

    def _refuse(self, why: str, status: int = 502) -> CallError:
        return ResponseError(f"the API's answer cannot be read: {why}")

    def feed(self, data: bytes, max_head: int) -> list[Event]:
        """Return the events of the next bytes; data after the answer makes the connection unusable."""
        if self.is_over:
            self.keep_alive = False
            return []
        events = super().feed(data, max_head)
        if self.is_over and events and type(events[-1]) is Malformed:
            self.keep_alive = False
            events.pop()
        return events

    def close(self) -> list[Event]:
        """Return the end of the answer if it ends with the connection."""
        if not self._until_close or self.is_over or self._broken:
            return []
        self.is_over = True
        return [End([], [])]

    def on_message_begin(self) -> None:
        """Handle the start of a message, which is an error after the answer."""
        if self.is_over:
            self.keep_alive = False
        self.is_partial = True

    def on_status(self, reason: bytes) -> None:
        """Collect the reason phrase, which may arrive in parts."""
        self._reason += reason

    def on_body(self, piece: bytes) -> None:
        """Collect a piece of the body."""
        if self.is_over:
            self.keep_alive = False
        else:
            super().on_body(piece)

    def on_headers_complete(self) -> None:
        """Check the head, and emit it."""
        if self.is_over:
            return
        self._head_size = 0
        version = self._version()
        status = self._parser.get_status_code()
        fields = self._take_fields()
        length, chunked = self._framing(version, named := by_name(fields))
        is_interim = status < 200
        if is_interim:
            self._check_interim(length, chunked=chunked)
        without = is_interim or self._bodyless or status in (204, 304)
        until_close = not (without or chunked or length is not None)
        reason, self._reason = self._reason, b""
        if not is_interim:
            self.has_begun = True
            self.keep_alive = not until_close and is_persistent(version, named)
        self._events.append(ResponseHead(status, reason, version, fields, named, length, chunked, until_close))
        if is_interim:
            return
        self._until_close = until_close
        self._bodyless = without
        if without:
            self._end()

    def _check_interim(self, length: int | None, *, chunked: bool) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM_RESPONSES:
            raise self._refuse("it sends too many interim ones")
        if length is not None or chunked:
            raise self._refuse("an interim one has a body")

    def on_message_complete(self) -> None:
        """Emit the end, unless it is that of an interim answer."""
        if self.has_begun and not self.is_over:
            self._end()
        self._is_ready = self.has_begun and self._parser.should_keep_alive()

    def _end(self) -> None:
        self.is_over = True
        self._emit_end(self._take_fields())


def is_persistent(version: bytes, named: Named) -> bool:
    """Tell whether the connection is persistent after an answer with these fields (RFC 9112, section 9.3)."""
    connection = named.get(b"connection")
    if connection is None:
        return version != b"HTTP/1.0"
    options = {option.strip().lower() for option in connection.split(b",")}
    return b"close" not in options and (version != b"HTTP/1.0" or b"keep-alive" in options)

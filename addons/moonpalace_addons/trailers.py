"""Read past the trailers of chunked transfers (RFC 9112, section 7.1.2), at which mitmproxy leaves both sides waiting.

Whoever gets a message may discard them (RFC 9110, section 6.5.1). As `upstream`, this module touches internals; where
they are not as it knows them, nothing is changed.
"""

import logging
from collections.abc import Callable

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.proxy.layers.http import _http1

logger = logging.getLogger(__name__)


class PlainChunkedReader(ChunkedReader):
    """Read the body of a chunked transfer, and end it without trailers."""

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """Return what comes next."""
        event = super().__call__(buf)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def discard_trailers() -> None:
    """Have mitmproxy read all chunked bodies from now on without their trailers; calling it again does nothing."""
    make = getattr(_http1, "make_body_reader", None)
    if make is None:
        # No error: while mitmproxy starts, one would end it.
        logger.warning("a message with trailers will not pass, as this version of mitmproxy is not known")
    elif not isinstance(make, _Making):
        _http1.make_body_reader = _Making(make)  # type: ignore[assignment]


class _Making:
    """Makes readers of bodies in the place of mitmproxy's own function."""

    def __init__(self, make: Callable[[int | None], object]) -> None:
        self.make = make

    def __call__(self, expected_size: int | None) -> object:
        reader = self.make(expected_size)
        return PlainChunkedReader() if type(reader) is ChunkedReader else reader

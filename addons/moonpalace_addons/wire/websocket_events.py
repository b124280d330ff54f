"""Write the messages of a WebSocket as events of a stream, the form in which they are stored.

    of one call                          data: {"type":"response.created", …}
    of the connection, with direction    event: client
                                         data: {"type":"session.update", …}

Binary messages are in base64, and their events are called `client-binary` and `server-binary`. A message with several
lines has several `data` lines; a CR becomes an LF.
"""

import base64

CLIENT, SERVER = "client", "server"
BINARY = "-binary"
NAMES = frozenset({CLIENT, SERVER, CLIENT + BINARY, SERVER + BINARY})
_BEGINNINGS = tuple(f"event: {name}\n".encode() for name in sorted(NAMES))


def as_event(message: bytes, name: str = "", *, is_text: bool = True) -> bytes:
    """Return a message as an event, named `name` unless that is empty."""
    if not is_text:
        name, message = name + BINARY, base64.b64encode(message)
    head = b"event: %s\n" % name.encode() if name else b""
    lines = message.splitlines() or [b""]
    return b"%s%s\n" % (head, b"".join([b"data: %s\n" % line for line in lines]))


def is_transcript(stream: bytes) -> bool:
    """Return whether a stored stream consists of the messages of a connection, in both directions."""
    return stream.startswith(_BEGINNINGS)

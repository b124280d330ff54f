"""Messages of a WebSocket, written as events of a stream."""

import base64

import pytest

from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.sse import Event
from moonpalace_addons.wire.websocket_events import as_event, is_transcript


def read(stream: bytes) -> Event:
    """Return the only event of a stream."""
    (event,) = make_decoder().feed(stream)
    return event


@pytest.mark.parametrize("text", ["", "a", '{"a":\n 1}', "two\n\nlines\n", "data: x", ":c", " x", "你好"])
def test_texts(text: str) -> None:
    """A text is unchanged, and has its direction."""
    event = read(as_event(text.encode(), "client"))
    assert (event.data, event.event, event.terminated) == (text.removesuffix("\n"), "client", True)
    assert read(as_event(text.encode())).event == "message"


def test_binary_messages() -> None:
    """Bytes are in base64."""
    event = read(as_event(b"\0\r\n\xff", "server", is_text=False))
    assert (base64.b64decode(event.data), event.event) == (b"\0\r\n\xff", "server-binary")


def test_transcripts() -> None:
    """Messages of a connection are distinguished from those of a call."""
    assert all(
        is_transcript(as_event(b"a", name, is_text=is_text))
        for name in ("client", "server")
        for is_text in (True, False)
    )
    assert not is_transcript(as_event(b"{}"))
    assert not is_transcript(b"event: clients\ndata: 1\n\n")

"""An adapter between pieces of a stream and a client."""

import json
import time

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from moonpalace_addons.calls.adapter import (
    Adapter,
)
from moonpalace_addons.calls.call import Call
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.codings.encodings import Decoder
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from tests.loop_word import guard_of


def event(value: object) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}\n\n".encode()


def chunk(text: str, reason: str | None = None) -> bytes:
    return event({"id": "c1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})


DONE = event("[DONE]")

STREAM = chunk("Hello") + b": hb\n\n" + chunk(" world", "stop") + DONE
PIECES = [STREAM[:20], STREAM[20:100], STREAM[100:]]
LOOPING = [chunk("a"), chunk("LOOP") + chunk("not sent"), DONE]
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello world"}, "finish_reason": "stop"},
    ],
}


class Rig:
    """An adapter with a flow that has no connection; calls to the connection are recorded."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        coerce: bool = False,
        hide: bool = False,
        encoding: str | None = None,
    ) -> None:
        self.ended: list[HTTPFlow] = []
        self.closed: list[HTTPFlow] = []
        monkeypatch.setattr(flow_control, "end_response", self.ended.append)
        monkeypatch.setattr(flow_control, "close_client", self.closed.append)
        self.call = Call(tflow.tflow(resp=True), time.monotonic_ns(), [], "", "/v1/chat/completions")
        plan = Plan(CHAT_COMPLETIONS, coerce, hide, lambda: guard_of(CHAT_COMPLETIONS))
        decoder = Decoder(encoding) if encoding else None
        self.adapter = Adapter(self.call.flow, self.call, decoder, StreamEditor(plan), coerce=coerce)

    def send(self, pieces: list[bytes], *, end: bool = True) -> list[bytes]:
        """Send pieces as mitmproxy does; return what the client gets of each. No piece of it may be empty."""
        output = []
        for piece in [*pieces, b""] if end else pieces:
            parts = list(self.adapter(piece))
            assert all(parts)
            output.append(b"".join(parts))
        return output

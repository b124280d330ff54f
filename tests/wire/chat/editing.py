"""Streams for the tests of the stream editor, and its output."""

import json
from collections.abc import Iterable

from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from tests.cuts import pieces_of, sweep
from tests.loop_word import guard_of

BOM = b"\xef\xbb\xbf"


def make_guard() -> LoopGuard:
    """Return a guard that ends a stream at the word LOOP."""
    return guard_of(CHAT_COMPLETIONS)


GUARD = Plan(CHAT_COMPLETIONS, make_guard=make_guard)
HIDE = Plan(CHAT_COMPLETIONS, hide_usage=True)
COERCE = Plan(CHAT_COMPLETIONS, coerce=True)
PLANS = {
    "guard": GUARD,
    "hide": HIDE,
    "both": Plan(CHAT_COMPLETIONS, hide_usage=True, make_guard=make_guard),
    "nothing": Plan(CHAT_COMPLETIONS),
}


def chunk(text: str = "", *, index: int = 0, reason: str | None = None, **more: object) -> dict[str, object]:
    """Return a chunk of a chat completion."""
    choice = {"index": index, "delta": {"content": text}, "finish_reason": reason}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "k", "choices": [choice], **more}


def event(value: object, end: str = "\n") -> bytes:
    """Return an event with its blank line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}{end}{end}".encode()


USAGE = {"id": "c1", "choices": [], "usage": {"total_tokens": 9}}


def parted(*values: object, end: str = "\n") -> bytes:
    """Return events separated by single line ends, with a blank line after the last."""
    return b"".join(event(value, end).removesuffix(end.encode()) for value in values) + end.encode()


DONE = event("[DONE]")
HELLO = event(chunk("He")) + event(chunk("llo 月🌙")) + event(chunk(reason="stop"))


def all_cuts(stream: bytes) -> list[list[bytes]]:
    """Return the stream whole, byte by byte, and cut at every position, into at most four pieces."""
    return [[stream], pieces_of(stream), *sweep(stream, max(64, len(stream) // 3))]


def edited(plan: Plan, pieces: Iterable[bytes]) -> bytes:
    """Return the output of an editor for these pieces."""
    editor = StreamEditor(plan)
    output = b""
    for piece in pieces:
        editor.feed(piece)
        output += editor.take()
    editor.close()
    return output + editor.take()

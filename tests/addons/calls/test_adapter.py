"""The chain between upstream and a client: nothing is lost in it, whatever fails."""

import gzip
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from moonpalace_addons.calls import adapter as adapter_module
from moonpalace_addons.calls.adapter import (
    IN_STREAM,
    LOOP_WARNING,
    NOT_EDITED,
    NOT_PASSED_ON,
    NOT_WHOLE,
    TOO_LARGE,
    UNREADABLE,
    Adapter,
)
from moonpalace_addons.calls.call import Call
from moonpalace_addons.calls.failures import REPEATING, UPSTREAM_CUT
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat import stream_editor
from moonpalace_addons.wire.chat.merging import Merger
from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor, merged
from moonpalace_addons.wire.codings.encodings import Decoder
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from moonpalace_addons.wire.loops.repeat import Detector, Loop


def event(value: object) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}\n\n".encode()


def chunk(text: str, reason: str | None = None) -> bytes:
    return event({"id": "c1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})


DONE = event("[DONE]")
USAGE = event({"choices": [], "usage": {"total_tokens": 3}})
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


class FiresAtLoop:
    """A detector that finds a loop in the text LOOP."""

    def feed(self, text: str) -> Loop | None:
        """Find it."""
        return Loop("period", 4, 4, "LOOP") if "LOOP" in text else None


class Rig:
    """An adapter with a flow that has no connection: what is done to that is kept."""

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
        plan = Plan(
            CHAT_COMPLETIONS, coerce, hide, lambda: LoopGuard(CHAT_COMPLETIONS, lambda: cast(Detector, FiresAtLoop()))
        )
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


def test_every_piece_passes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guarded stream without a loop passes piece by piece, is kept, and ends without a word."""
    rig = Rig(monkeypatch)
    assert rig.send(PIECES) == [*PIECES, b""]
    assert [data for _, data in rig.call.answer.chunks] == PIECES
    assert (rig.call.warnings, rig.adapter.failure, rig.ended, rig.closed) == ([], None, [], [])


def test_encoded_stream_passes_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was encoded comes out decoded, and is kept as it came."""
    rig = Rig(monkeypatch, encoding="gzip")
    encoded = gzip.compress(STREAM)
    pieces = [encoded[at : at + 1] for at in range(len(encoded))]
    assert b"".join(rig.send(pieces)) == STREAM
    assert [data for _, data in rig.call.answer.chunks] == pieces
    assert rig.call.warnings == []


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_coerced_answer_comes_at_the_end(monkeypatch: pytest.MonkeyPatch, encoding: str | None) -> None:
    """With a merged answer the client gets nothing until the end, and then all of it."""
    rig = Rig(monkeypatch, coerce=True, encoding=encoding)
    body = gzip.compress(STREAM) if encoding else STREAM
    *before, last = rig.send([body[:50], body[50:]])
    assert before == [b"", b""]
    assert json.loads(last) == ANSWER
    assert (rig.call.warnings, rig.adapter.failure, rig.closed) == ([], None, [])
    assert not rig.adapter.held


@pytest.mark.parametrize(
    "pieces", [[], [STREAM[:20]], [chunk("Hello")], [b": hb\n\n"], [chunk("a", "stop") + b"data: {"]]
)
def test_coerced_answer_that_is_not_whole_breaks_off(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]) -> None:
    """A stream that ended too early is a broken transfer, of which no byte parses."""
    rig = Rig(monkeypatch, coerce=True)
    assert b"".join(rig.send(pieces)) == b""
    assert rig.closed == [rig.call.flow]
    assert (rig.adapter.failure, rig.call.warnings) == ((UPSTREAM_CUT, NOT_WHOLE), [NOT_WHOLE])
    assert rig.send([STREAM]) == [b"", b""]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"data: hello\n\n", UNREADABLE),
        (b"data: {nope\ndata: {nope\n\n", UNREADABLE),
        (event({"error": {"message": "broke", "type": "server_error"}}), f"{IN_STREAM}: server_error: broke"),
        (b"event: error\ndata: broke\n\n", f"{IN_STREAM}: broke"),
    ],
)
def test_answer_that_cannot_be_whole_any_more_breaks_off_at_once(
    monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str
) -> None:
    """An event that cannot be read, or an error, ends a merged answer there; one of a stream gets every byte."""
    for coerce in (False, True):
        rig = Rig(monkeypatch, coerce=coerce)
        sent = [chunk("Hello"), data, chunk("", "stop") + DONE]
        assert rig.send(sent) == ([b""] * 4 if coerce else [*sent, b""])
        assert (rig.adapter.failure, len(rig.closed)) == (((UPSTREAM_CUT, reason), 1) if coerce else (None, 0))


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("coerce", [False, True])
def test_what_is_no_stream_passes(monkeypatch: pytest.MonkeyPatch, coerce: bool, hide: bool) -> None:
    """JSON instead of a stream comes out as it is, and as it comes; no heartbeat gets into it."""
    rig = Rig(monkeypatch, coerce=coerce, hide=hide)
    first = rig.send([flow_control.HEARTBEAT, b'{"error": '], end=False)
    assert first == [b" " if coerce else b"", b'{"error": ']
    assert not rig.adapter.wants_heartbeat(time.monotonic() + 1000, 10)
    assert rig.send([b'"x"}']) == [b'"x"}', b""]
    assert (rig.call.warnings, rig.adapter.failure, rig.closed) == ([], None, [])


# ---- loops --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coerce", [False, True])
def test_loop_ends_both_sides(monkeypatch: pytest.MonkeyPatch, coerce: bool) -> None:
    """At a loop the client gets its end, upstream is ended once, and what still comes is swallowed."""
    rig = Rig(monkeypatch, coerce=coerce)
    first, second, *later = rig.send(LOOPING)
    if coerce:
        assert first == b""
        choice = json.loads(second)["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("aLOOP", "repeat")
    else:
        assert first == LOOPING[0]
        assert second.startswith(chunk("LOOP"))
        assert second.endswith(b'"finish_reason":"repeat"}]}\n\n' + DONE)
        assert b"not sent" not in second
    assert later == [b"", b""]
    assert rig.ended == [rig.call.flow]
    assert rig.closed == []
    assert rig.call.warnings == [LOOP_WARNING]
    assert rig.adapter.failure is not None
    assert rig.adapter.failure[0] == REPEATING
    assert "content" in rig.adapter.failure[1]


def test_loop_in_what_comes_with_the_end_needs_no_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop found in the last bytes that decoding gives is told, but there is no upstream left to end."""
    rig = Rig(monkeypatch)
    monkeypatch.setattr(rig.adapter, "_decode", lambda data: (b"" if data else chunk("LOOP"), False))
    assert rig.send([b"x"])[-1].endswith(DONE)
    assert rig.ended == []
    assert rig.adapter.failure is not None
    assert rig.adapter.failure[0] == REPEATING


def test_event_that_cannot_be_read_breaks_off_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merged answer would lack it: its client sees a broken transfer; one of a stream gets every byte."""
    long = chunk("x" * 300)
    for coerce in (False, True):
        monkeypatch.setattr(stream_editor, "make_decoder", lambda: sse.Decoder(200))
        rig = Rig(monkeypatch, coerce=coerce)
        output = rig.send([chunk("a"), long, STREAM])
        assert output == ([b""] * 4 if coerce else [chunk("a"), long, STREAM, b""])
        assert (rig.adapter.failure, len(rig.closed)) == (((UPSTREAM_CUT, TOO_LARGE), 1) if coerce else (None, 0))


# ---- heartbeats ---------------------------------------------------------------------------------------------------


def test_heartbeat_is_white_space_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that waits for a merged answer gets a blank, which its parser skips and the row does not see."""
    rig = Rig(monkeypatch, coerce=True)
    output = rig.send([PIECES[0], flow_control.HEARTBEAT, *PIECES[1:], flow_control.HEARTBEAT])
    assert output[1] == output[4] == b" "
    assert json.loads(b"".join(output)) == ANSWER
    assert [data for _, data in rig.call.answer.chunks] == PIECES
    assert list(rig.adapter(flow_control.HEARTBEAT)) == []


def test_heartbeat_never_enters_another_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guarded stream neither wants heartbeats nor lets one through; upstream's own word of that name passes."""
    rig = Rig(monkeypatch)
    assert not rig.adapter.wants_heartbeat(time.monotonic() + 1000, 10)
    assert rig.send([flow_control.HEARTBEAT, b"heart" + b"beat"]) == [b"", b"heartbeat", b""]


def test_heartbeat_is_wanted_after_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is wanted when the client has heard nothing for the interval, and none once the answer has ended."""
    rig = Rig(monkeypatch, coerce=True)
    began = rig.adapter.sent_at
    assert not rig.adapter.wants_heartbeat(began + 9.9, 10)
    assert rig.adapter.wants_heartbeat(began + 10, 10)
    rig.send(PIECES, end=False)
    assert rig.adapter.sent_at == began  # what upstream sends is nothing that the client hears
    rig.send([flow_control.HEARTBEAT], end=False)
    assert rig.adapter.sent_at > began
    rig.send([])
    assert not rig.adapter.wants_heartbeat(began + 1000, 10)


# ---- faults -------------------------------------------------------------------------------------------------------


class BrokeError(Exception):
    """What these tests raise."""


def fails_from(number: int, original: Callable[..., object]) -> Callable[..., object]:
    """Return a function that works for so many calls, and never again."""
    calls = iter(range(1_000_000))

    def call(*args: object, **options: object) -> object:
        if next(calls) >= number:
            raise BrokeError
        return original(*args, **options)

    return call


class Refusing(deque[tuple[int, bytes]]):
    """Chunks that cannot be kept."""

    def append(self, _: tuple[int, bytes]) -> None:
        """Fail."""
        raise MemoryError


EDITING = [
    (sse.Decoder, "feed"),
    (sse.Decoder, "close"),
    (LoopGuard, "feed"),
    (StreamEditor, "_read"),
    (StreamEditor, "_pass"),
    (StreamEditor, "take"),
    (StreamEditor, "close"),
]


def only_error(caplog: pytest.LogCaptureFixture) -> bool:
    """Tell whether there was exactly one error in the log, with its traceback."""
    return [(record.levelno, bool(record.exc_info)) for record in caplog.records] == [(logging.ERROR, True)]


@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("owner", "name"), EDITING)
def test_fault_in_editing_costs_no_byte(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: type,
    name: str,
    number: int,
    hide: bool,
    encoding: str | None,
) -> None:
    """Whatever fails, and whenever: every byte comes out once, decoded; one error is logged and the row is marked."""
    monkeypatch.setattr(owner, name, fails_from(number, getattr(owner, name)))
    rig = Rig(monkeypatch, hide=hide, encoding=encoding)
    body = gzip.compress(STREAM) if encoding else STREAM
    output = rig.send([body[at : at + 40] for at in range(0, len(body), 40)])
    assert b"".join(output) == STREAM
    happened = name != "close" or number == 0
    assert only_error(caplog) is happened
    assert rig.call.warnings == ([NOT_EDITED] if happened else [])
    assert (rig.closed, rig.adapter.failure, rig.adapter.ended) == ([], None, True)


def test_fault_in_hiding_costs_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """If hiding fails in the middle of the event that is to be hidden, the client gets it after all, whole."""
    rig = Rig(monkeypatch, hide=True)
    assert rig.send([USAGE[:10]], end=False) == [b""]
    monkeypatch.setattr(sse.Decoder, "feed", fails_from(0, sse.Decoder.feed))
    assert b"".join(rig.send([USAGE[10:], DONE])) == USAGE + DONE


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("owner", "name"), [(LoopGuard, "feed"), (StreamEditor, "feed"), (StreamEditor, "_read")])
def test_fault_in_editing_costs_no_merged_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: type, name: str, number: int
) -> None:
    """If the merging on the way fails, the answer is merged from all that came."""
    rig = Rig(monkeypatch, coerce=True)
    real = merged
    failing = fails_from(number, getattr(owner, name))

    def merged_anew(face: Face, stream: bytes) -> bytes | None:
        monkeypatch.undo()
        return real(face, stream)

    monkeypatch.setattr(adapter_module, "merged", merged_anew)
    monkeypatch.setattr(owner, name, failing)
    output = rig.send([STREAM[at : at + 60] for at in range(0, len(STREAM), 60)])
    assert (set(output[:-1]), json.loads(output[-1])) == ({b""}, ANSWER)
    assert only_error(caplog)
    assert (rig.call.warnings, rig.adapter.failure) == ([NOT_EDITED], None)


def test_fault_does_not_make_half_an_answer_look_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fault, too, a stream that ended too early is a broken transfer."""
    rig = Rig(monkeypatch, coerce=True)
    monkeypatch.setattr(rig.adapter.editor, "feed", fails_from(0, rig.adapter.editor.feed))
    assert b"".join(rig.send([chunk("Hello")])) == b""
    assert (rig.adapter.failure, rig.closed) == ((UPSTREAM_CUT, NOT_WHOLE), [rig.call.flow])


def test_fault_that_merging_anew_meets_too_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the answer cannot be merged at all, the transfer breaks; nothing is sent that parses."""
    rig = Rig(monkeypatch, coerce=True)
    monkeypatch.setattr(Merger, "feed", fails_from(0, Merger.feed))
    assert b"".join(rig.send(PIECES)) == b""
    assert (rig.adapter.failure, rig.closed) == ((UPSTREAM_CUT, NOT_PASSED_ON), [rig.call.flow])
    assert rig.call.warnings == [NOT_EDITED, NOT_PASSED_ON]


@pytest.mark.parametrize("coerce", [False, True])
def test_fault_as_a_loop_ends_the_stream(monkeypatch: pytest.MonkeyPatch, coerce: bool) -> None:
    """A stream whose end was made but could not be taken ends all the same; a merged one is merged at its own end."""
    rig = Rig(monkeypatch, coerce=coerce)
    monkeypatch.setattr(rig.adapter.editor, "take", fails_from(1, rig.adapter.editor.take))
    output = b"".join(rig.send(LOOPING))
    if coerce:
        assert json.loads(output)["choices"][0]["message"]["content"] == "aLOOPnot sent"
        assert rig.ended == []
    else:
        assert output.endswith(b'"finish_reason":"repeat"}]}\n\n' + DONE)
        assert rig.ended == [rig.call.flow]


@pytest.mark.parametrize("coerce", [False, True])
def test_fault_in_keeping_costs_the_client_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, coerce: bool
) -> None:
    """If the tap fails, the client gets its answer, edited."""
    rig = Rig(monkeypatch, coerce=coerce)
    rig.call.answer.chunks = Refusing()
    output = b"".join(rig.send(PIECES))
    assert (json.loads(output) == ANSWER) if coerce else (output == STREAM)
    assert only_error(caplog)
    assert rig.call.warnings == ["capture failed in mid-stream: the stored answer is incomplete"]


@pytest.mark.parametrize("part", ["decoder", "rest"])
def test_fault_that_loses_bytes_breaks_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    """Where even the bytes cannot be had any more the transfer breaks, rather than go on with a gap."""
    rig = Rig(monkeypatch, encoding="gzip")
    encoded = gzip.compress(STREAM)
    first = rig.send([encoded[:40]], end=False)[0]
    if part == "decoder":
        monkeypatch.setattr(rig.adapter.decoder, "feed", fails_from(0, Decoder.feed))
    else:
        monkeypatch.setattr(rig.adapter.editor, "feed", fails_from(0, StreamEditor.feed))
        monkeypatch.setattr(rig.adapter.editor, "rest", fails_from(0, StreamEditor.rest))
    assert b"".join(rig.send([encoded[40:]])) == b""
    assert STREAM.startswith(first)
    assert (rig.adapter.failure, rig.closed) == ((UPSTREAM_CUT, NOT_PASSED_ON), [rig.call.flow])
    assert caplog.records[-1].levelno == logging.ERROR


# ---- broken encodings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coerce", [False, True])
@pytest.mark.parametrize("end", [-9, 60])
def test_encoding_that_loses_bytes_breaks_off(monkeypatch: pytest.MonkeyPatch, coerce: bool, end: int) -> None:
    """A body that cannot be decoded to its end is a broken transfer for the client as well, marked on the row."""
    rig = Rig(monkeypatch, coerce=coerce, encoding="gzip")
    output = b"".join(rig.send([gzip.compress(STREAM)[:end]]))
    assert output == b"" if coerce else STREAM.startswith(output)
    assert rig.call.warnings == [NOT_WHOLE]
    assert (rig.adapter.failure, rig.closed) == ((UPSTREAM_CUT, NOT_WHOLE), [rig.call.flow])


def test_corrupt_encoding_breaks_off_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the byte on that cannot be decoded nothing could follow: the client is not left waiting."""
    rig = Rig(monkeypatch, encoding="gzip")
    encoded = gzip.compress(STREAM)
    rig.send([encoded[:-8], b"\xff" * 8], end=False)
    assert rig.adapter.ended
    assert rig.closed == [rig.call.flow]


@pytest.mark.parametrize("coerce", [False, True])
@pytest.mark.parametrize("pieces", [PIECES, [STREAM]])
def test_body_that_was_never_encoded_passes(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], coerce: bool) -> None:
    """Where the header names an encoding that the body does not have, the client gets the body."""
    rig = Rig(monkeypatch, coerce=coerce, encoding="gzip")
    output = b"".join(rig.send(pieces))
    assert (json.loads(output) == ANSWER) if coerce else (output == STREAM)
    assert (rig.call.warnings, rig.closed) == ([], [])

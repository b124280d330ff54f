"""Bugs of ours and broken encodings in a stream do not affect the client."""

import gzip
import json
import logging
from collections import deque
from collections.abc import Callable

import pytest

from moonpalace_addons.calls import adapter as adapter_module
from moonpalace_addons.calls.adapter import (
    NOT_EDITED,
    NOT_PASSED_ON,
    NOT_WHOLE,
)
from moonpalace_addons.calls.failures import UPSTREAM_CUT
from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat.merging import Merger
from moonpalace_addons.wire.chat.stream_editor import StreamEditor, merged
from moonpalace_addons.wire.codings.encodings import Decoder
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from tests.addons.calls.adapted import ANSWER, DONE, LOOPING, PIECES, STREAM, Rig, chunk, event

USAGE = event({"choices": [], "usage": {"total_tokens": 3}})


# ---- faults -------------------------------------------------------------------------------------------------------


class BrokeError(Exception):
    """The exception that these tests raise."""


def fails_from(number: int, original: Callable[..., object]) -> Callable[..., object]:
    """Return a function that works this many times and then always fails."""
    calls = iter(range(1_000_000))

    def call(*args: object, **options: object) -> object:
        if next(calls) >= number:
            raise BrokeError
        return original(*args, **options)

    return call


class Refusing(deque[tuple[int, bytes]]):
    """A list of chunks that fails to append."""

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
    """Return whether there was exactly one error in the log, with its traceback."""
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
    """Whatever fails at any time, every byte is sent once, decoded; one error is logged and the row is marked."""
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
    """If hiding an event fails in the middle of it, the client gets the whole event."""
    rig = Rig(monkeypatch, hide=True)
    assert rig.send([USAGE[:10]], end=False) == [b""]
    monkeypatch.setattr(sse.Decoder, "feed", fails_from(0, sse.Decoder.feed))
    assert b"".join(rig.send([USAGE[10:], DONE])) == USAGE + DONE


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("owner", "name"), [(LoopGuard, "feed"), (StreamEditor, "feed"), (StreamEditor, "_read")])
def test_fault_in_editing_costs_no_merged_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: type, name: str, number: int
) -> None:
    """If merging fails in the middle, the answer is merged from all the data received."""
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
    """Even after a failure, a stream that ended too early is a broken transfer."""
    rig = Rig(monkeypatch, coerce=True)
    monkeypatch.setattr(rig.adapter.editor, "feed", fails_from(0, rig.adapter.editor.feed))
    assert b"".join(rig.send([chunk("Hello")])) == b""
    assert (rig.adapter.failure, rig.closed) == ((UPSTREAM_CUT, NOT_WHOLE), [rig.call.flow])


def test_fault_that_merging_anew_meets_too_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the answer cannot be merged at all, the transfer breaks, and no valid JSON is sent."""
    rig = Rig(monkeypatch, coerce=True)
    monkeypatch.setattr(Merger, "feed", fails_from(0, Merger.feed))
    assert b"".join(rig.send(PIECES)) == b""
    assert (rig.adapter.failure, rig.closed) == ((UPSTREAM_CUT, NOT_PASSED_ON), [rig.call.flow])
    assert rig.call.warnings == [NOT_EDITED, NOT_PASSED_ON]


@pytest.mark.parametrize("coerce", [False, True])
def test_fault_as_a_loop_ends_the_stream(monkeypatch: pytest.MonkeyPatch, coerce: bool) -> None:
    """If sending the early end fails, the stream still ends; a merged answer is merged at its own end."""
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
    """If even the bytes are lost, the transfer breaks rather than continue with a gap."""
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
    """A body that cannot be decoded to its end is a broken transfer for the client, too, and marked in the row."""
    rig = Rig(monkeypatch, coerce=coerce, encoding="gzip")
    output = b"".join(rig.send([gzip.compress(STREAM)[:end]]))
    assert output == b"" if coerce else STREAM.startswith(output)
    assert rig.call.warnings == [NOT_WHOLE]
    assert (rig.adapter.failure, rig.closed) == ((UPSTREAM_CUT, NOT_WHOLE), [rig.call.flow])


def test_corrupt_encoding_breaks_off_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transfer breaks at the first byte that cannot be decoded: the client is not kept waiting."""
    rig = Rig(monkeypatch, encoding="gzip")
    encoded = gzip.compress(STREAM)
    rig.send([encoded[:-8], b"\xff" * 8], end=False)
    assert rig.adapter.ended
    assert rig.closed == [rig.call.flow]


@pytest.mark.parametrize("coerce", [False, True])
@pytest.mark.parametrize("pieces", [PIECES, [STREAM]])
def test_body_that_was_never_encoded_passes(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], coerce: bool) -> None:
    """If the body is not encoded as its header says, the client gets the body."""
    rig = Rig(monkeypatch, coerce=coerce, encoding="gzip")
    output = b"".join(rig.send(pieces))
    assert (json.loads(output) == ANSWER) if coerce else (output == STREAM)
    assert (rig.call.warnings, rig.closed) == ([], [])

"""The chain between upstream and a client: no byte is lost in it, whatever fails."""

import gzip
import json
import time

import pytest

from moonpalace_addons.calls.adapter import (
    IN_STREAM,
    LOOP_WARNING,
    NOT_WHOLE,
    TOO_LARGE,
    UNREADABLE,
)
from moonpalace_addons.calls.failures import REPEATING, UPSTREAM_CUT
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat import stream_editor
from tests.addons.calls.adapted import ANSWER, DONE, LOOPING, PIECES, STREAM, Rig, chunk, event
from tests.hostile import HOSTILE_LINES, assert_quoted


def test_every_piece_passes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guarded stream without a loop passes piece by piece, is kept, and ends without a warning."""
    rig = Rig(monkeypatch)
    assert rig.send(PIECES) == [*PIECES, b""]
    assert [data for _, data in rig.call.answer.chunks] == PIECES
    assert (rig.call.warnings, rig.adapter.failure, rig.ended, rig.closed) == ([], None, [], [])


def test_encoded_stream_passes_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoded stream passes decoded, and is kept as received."""
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
    """A stream that ended too early becomes a broken transfer, no part of which is valid JSON."""
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
    """An unreadable event, or an error, ends a merged answer immediately; a streamed answer gets every byte."""
    for coerce in (False, True):
        rig = Rig(monkeypatch, coerce=coerce)
        sent = [chunk("Hello"), data, chunk("", "stop") + DONE]
        assert rig.send(sent) == ([b""] * 4 if coerce else [*sent, b""])
        assert (rig.adapter.failure, len(rig.closed)) == (((UPSTREAM_CUT, reason), 1) if coerce else (None, 0))


def test_an_error_in_a_stream_is_quoted_with_care(monkeypatch: pytest.MonkeyPatch) -> None:
    """A huge error that ends a merged answer becomes one short line in the row, without escapes."""
    rig = Rig(monkeypatch, coerce=True)
    rig.send([chunk("Hello"), event({"error": {"message": HOSTILE_LINES}})])
    (warning,) = rig.call.warnings
    assert rig.adapter.failure == (UPSTREAM_CUT, warning)
    assert warning.startswith(f"{IN_STREAM}: ")
    assert_quoted(warning)


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("coerce", [False, True])
def test_what_is_no_stream_passes(monkeypatch: pytest.MonkeyPatch, coerce: bool, hide: bool) -> None:
    """JSON instead of a stream passes unchanged and without delay; no heartbeat is added to it."""
    rig = Rig(monkeypatch, coerce=coerce, hide=hide)
    first = rig.send([flow_control.HEARTBEAT, b'{"error": '], end=False)
    assert first == [b" " if coerce else b"", b'{"error": ']
    assert not rig.adapter.wants_heartbeat(time.monotonic() + 1000, 10)
    assert rig.send([b'"x"}']) == [b'"x"}', b""]
    assert (rig.call.warnings, rig.adapter.failure, rig.closed) == ([], None, [])


# ---- loops --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coerce", [False, True])
def test_loop_ends_both_sides(monkeypatch: pytest.MonkeyPatch, coerce: bool) -> None:
    """At a loop the client gets a complete end, upstream is closed once, and later data is discarded."""
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
    """A loop in the last decoded bytes is reported, but upstream has already ended."""
    rig = Rig(monkeypatch)
    monkeypatch.setattr(rig.adapter, "_decode", lambda data: (b"" if data else chunk("LOOP"), False))
    assert rig.send([b"x"])[-1].endswith(DONE)
    assert rig.ended == []
    assert rig.adapter.failure is not None
    assert rig.adapter.failure[0] == REPEATING


def test_event_that_cannot_be_read_breaks_off_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merged answer would lack the event, so its transfer breaks; a streamed answer gets every byte."""
    long = chunk("x" * 300)
    for coerce in (False, True):
        monkeypatch.setattr(stream_editor, "make_decoder", lambda: sse.Decoder(200))
        rig = Rig(monkeypatch, coerce=coerce)
        output = rig.send([chunk("a"), long, STREAM])
        assert output == ([b""] * 4 if coerce else [chunk("a"), long, STREAM, b""])
        assert (rig.adapter.failure, len(rig.closed)) == (((UPSTREAM_CUT, TOO_LARGE), 1) if coerce else (None, 0))


# ---- heartbeats ---------------------------------------------------------------------------------------------------


def test_heartbeat_is_white_space_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that waits for a merged answer gets a space, which its parser skips and the row omits."""
    rig = Rig(monkeypatch, coerce=True)
    output = rig.send([PIECES[0], flow_control.HEARTBEAT, *PIECES[1:], flow_control.HEARTBEAT])
    assert output[1] == output[4] == b" "
    assert json.loads(b"".join(output)) == ANSWER
    assert [data for _, data in rig.call.answer.chunks] == PIECES
    assert list(rig.adapter(flow_control.HEARTBEAT)) == []


def test_heartbeat_never_enters_another_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guarded stream needs no heartbeats and passes none; the same text from upstream passes."""
    rig = Rig(monkeypatch)
    assert not rig.adapter.wants_heartbeat(time.monotonic() + 1000, 10)
    assert rig.send([flow_control.HEARTBEAT, b"heart" + b"beat"]) == [b"", b"heartbeat", b""]


def test_heartbeat_is_wanted_after_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat is due when the client has received nothing for the interval, unless the answer has ended."""
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

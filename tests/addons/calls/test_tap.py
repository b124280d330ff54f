"""The tap keeps what passes, and never delays it."""

import logging
import time
from collections import deque

import pytest
from mitmproxy.test import tflow

from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.kept_answer import OWN_ROOM, KeptAnswer
from moonpalace_addons.calls.tap import Tap


@pytest.fixture
def call() -> Call:
    """Give a call that began just now."""
    return a_call(KeptAnswer())


def a_call(answer: KeptAnswer) -> Call:
    """Return a call that began just now."""
    return Call(tflow.tflow(), time.monotonic_ns(), [], "", "/v1/chat/completions", answer)


def test_pieces_pass_and_are_kept(call: Call) -> None:
    """Each piece is returned as the same object, and kept with a time that never decreases."""
    tap = Tap(call)
    pieces = [b"data: {}", b"\n\n", b"data: [DONE]\n\n"]
    assert all(tap(piece) is piece for piece in pieces)
    assert [data for _, data in call.answer.chunks] == pieces
    times = [0, *(at for at, _ in call.answer.chunks), call.now()]
    assert times == sorted(times)


def test_pieces_that_come_together(call: Call) -> None:
    """Pieces from one read have the same time, so they are kept as one."""
    pieces = [b"data: {}\n\n", b"data: [DONE]\n\n"]
    assert Tap(call).together(pieces) is pieces
    ((_, data),) = call.answer.chunks
    assert data == b"".join(pieces)


@pytest.mark.parametrize("room", [0, 16, 17, 100, 131, 132, 133, 1000])
def test_no_more_is_kept_than_there_is_room(call: Call, room: int) -> None:
    """Everything passes; only the beginning is kept, and the rest is counted. Each chunk has its own overhead."""
    call.answer.room = room
    tap = Tap(call)
    pieces = [b"a" * 50, b"b" * 50, b"c" * 50, b"d"]
    assert [tap(piece) for piece in pieces] == pieces
    kept = b"".join(data for _, data in call.answer.chunks)
    assert b"".join(pieces).startswith(kept)
    assert len(kept) + call.answer.dropped == 151
    assert len(kept) + 16 * len(call.answer.chunks) <= max(room, 0)
    assert (call.answer.dropped == 0) is (room == 1000)


def test_answers_share_what_is_kept() -> None:
    """Together, answers keep no more than one alone may, but each its beginning; the space is freed at their end."""
    calls = Calls()
    answers = [a_call(KeptAnswer(4 * OWN_ROOM, calls.room)) for _ in range(5)]
    piece = b"x" * (OWN_ROOM // 10)
    for answer in answers:
        calls.begin(answer)
        tap = Tap(answer)
        assert [tap(piece) for _ in range(100)] == [piece] * 100
    kept = [sum(len(data) for _, data in answer.answer.chunks) for answer in answers]
    assert [size + answer.answer.dropped for size, answer in zip(kept, answers, strict=True)] == [100 * len(piece)] * 5
    assert kept[0] > 3 * OWN_ROOM
    assert all(size > OWN_ROOM * 0.8 for size in kept)
    assert sum(kept) <= (4 + len(answers)) * OWN_ROOM
    calls.end(answers[0].flow)
    later = a_call(KeptAnswer(4 * OWN_ROOM, calls.room))
    for _ in range(30):
        Tap(later)(piece)
    assert later.answer.dropped == 0
    for answer in answers:
        calls.end(answer.flow)
    assert calls.room.taken == later.answer.taken


def test_the_end_is_no_piece(call: Call) -> None:
    """The empty piece at the end passes, but is neither kept nor counted as data from upstream."""
    tap = Tap(call)
    touched = call.touched
    assert tap(b"") == b""
    assert (list(call.answer.chunks), call.touched) == ([], touched)


def test_upstream_has_spoken_with_its_headers(call: Call) -> None:
    """The time of upstream's last data begins with the headers, and each piece updates it."""
    assert call.touched is None
    tap = Tap(call)
    begun = call.touched
    assert begun is not None
    assert call.started <= begun
    tap(b"x")
    assert call.touched == call.answer.chunks[0][0] + call.started
    assert call.touched >= begun


class Refusing(deque[tuple[int, bytes]]):
    """Chunks that accept one piece and then fail."""

    def append(self, item: tuple[int, bytes]) -> None:
        """Fail at the second chunk."""
        if self:
            raise MemoryError
        super().append(item)


def test_failing_tap_passes_every_byte(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    """If keeping a piece fails, the client gets everything, one error is logged, and the row is marked."""
    tap = Tap(call)
    call.answer.chunks = Refusing()
    pieces = [b"one", b"two", b"three", b""]
    assert [tap(piece) for piece in pieces] == pieces
    assert call.warnings == ["capture failed in mid-stream: the stored answer is incomplete"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert [data for _, data in call.answer.chunks] == [b"one"]

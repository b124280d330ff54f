"""Messages of the writer's process to the proxy."""

import contextlib
import logging
import os

import pytest

from moonpalace_addons.writer_process import messages, outbox
from moonpalace_addons.writer_process.messages import Confirmed, Ready


def test_messages_and_records_come_in_order() -> None:
    """Everything that was put before the end is read at the other end of the pipe."""
    taken, given = os.pipe()
    with os.fdopen(taken, "rb") as reader:
        with os.fdopen(given, "wb") as writer:
            sent = outbox.Outbox(writer)
            sent.put(Ready(b"k"))
            sent.handle(logging.makeLogRecord({"name": "moonpalace", "msg": "stored %d", "args": (7,)}))
            sent.put(Confirmed(["a"]))
            sent.finish()
        ready, record, confirmed = [message for batch in messages.read(reader) for message in batch]  # type: ignore[attr-defined]
    assert (ready, confirmed) == (Ready(b"k"), Confirmed(["a"]))
    assert isinstance(record, logging.LogRecord)
    assert record.getMessage() == "stored 7"


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pipe blocks nobody: surplus records are dropped, messages wait; after it breaks, all are discarded."""
    monkeypatch.setattr(outbox, "MAX_QUEUED_RECORDS", 3)
    monkeypatch.setattr(outbox, "CLOSE_TIMEOUT", 0.05)
    taken, given = os.pipe()
    writer = os.fdopen(given, "wb")
    sent = outbox.Outbox(writer)
    sent.put("x" * 1_000_000)
    for _ in range(10):
        sent.handle(logging.makeLogRecord({"msg": "one"}))
    sent.put(Confirmed(["a"]))
    assert sent._waiting.qsize() <= 5
    sent.finish()
    assert sent._thread.is_alive()
    os.close(taken)
    sent._thread.join(10)
    assert not sent._thread.is_alive()
    with contextlib.suppress(BrokenPipeError):
        writer.close()

"""The reports of the writer process."""

import contextlib
import logging
import os

import pytest

from moonpalace_addons.writer_process import messages, reports
from moonpalace_addons.writer_process.messages import Confirmed, Ready


def test_messages_and_records_come_in_order() -> None:
    """Everything that was put before the end is read at the other end of the pipe."""
    taken, given = os.pipe()
    with os.fdopen(taken, "rb") as reader:
        with os.fdopen(given, "wb") as writer:
            said = reports.Reports(writer)
            said.put(Ready(b"k"))
            said.handle(logging.makeLogRecord({"name": "moonpalace", "msg": "stored %d", "args": (7,)}))
            said.put(Confirmed(["a"]))
            said.finish()
        ready, record, confirmed = [message for batch in messages.read(reader) for message in batch]  # type: ignore[attr-defined]
    assert (ready, confirmed) == (Ready(b"k"), Confirmed(["a"]))
    assert isinstance(record, logging.LogRecord)
    assert record.getMessage() == "stored 7"


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pipe blocks nobody: surplus records are dropped, messages wait; after it breaks, all are discarded."""
    monkeypatch.setattr(reports, "MAX_QUEUED_RECORDS", 3)
    monkeypatch.setattr(reports, "CLOSE_TIMEOUT", 0.05)
    taken, given = os.pipe()
    writer = os.fdopen(given, "wb")
    said = reports.Reports(writer)
    said.put("x" * 1_000_000)
    for _ in range(10):
        said.handle(logging.makeLogRecord({"msg": "one"}))
    said.put(Confirmed(["a"]))
    assert said._waiting.qsize() <= 5
    said.finish()
    assert said._thread.is_alive()
    os.close(taken)
    said._thread.join(10)
    assert not said._thread.is_alive()
    with contextlib.suppress(BrokenPipeError):
        writer.close()

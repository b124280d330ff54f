"""What goes through the pipes."""

import io
import logging
import os
import threading
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import Opening, Settled, Stop

CHUNKS = st.lists(st.tuples(st.integers(0, 2**62), st.binary(max_size=20)), max_size=5)


def test_messages_come_as_they_were_sent() -> None:
    """One after the other, whatever their size, until the other end is closed."""
    chunks = messages.packed([("a", deque([(1, b"x" * 300_000)]))], 1)
    sent = [Stop(), Settled(["a", "b"]), [chunks]]
    taken, given_ = os.pipe()
    with os.fdopen(taken, "rb") as reader, os.fdopen(given_, "wb") as writer:

        def write() -> None:
            for message in sent:
                messages.write(writer, message)
            writer.close()

        thread = threading.Thread(target=write)
        thread.start()
        assert list(messages.read(reader)) == sent
        thread.join()


def test_a_message_that_is_torn_ends_it() -> None:
    """What a killed process had written of a message is left out; what came before it stands."""
    whole = io.BytesIO()
    messages.write(whole, Settled(["a"]))
    torn = io.BytesIO()
    messages.write(torn, Settled(["b"] * 100))
    for cut in range(len(torn.getvalue())):
        stream = io.BytesIO(whole.getvalue() + torn.getvalue()[:cut])
        assert list(messages.read(stream)) == [Settled(["a"])]


@given(st.dictionaries(st.text(max_size=5), CHUNKS, max_size=4), st.integers(1, 100))
def test_chunks_are_packed_and_unpacked(answers: dict[str, list[tuple[int, bytes]]], limit: int) -> None:
    """Each call gets its own chunks back, times, lengths and bytes, from as many messages as the limit requires."""
    waiting = {uuid: deque(chunks) for uuid, chunks in answers.items()}
    found: dict[str, list[tuple[int, bytes]]] = {}
    while packed := messages.packed(waiting.items(), limit):
        for uuid, times, lengths, data in packed.by_call():
            begins = [sum(lengths[:number]) for number in range(len(lengths))]
            pieces = [data[begin : begin + length] for begin, length in zip(begins, lengths, strict=True)]
            found.setdefault(uuid, []).extend(zip(times, pieces, strict=True))
            assert len(data) == sum(lengths)
        assert len(packed.data) < limit + 20
    assert not any(waiting.values())
    assert found == {uuid: chunks for uuid, chunks in answers.items() if chunks}


def test_records_of_the_log_pass() -> None:
    """A record comes with its level, its logger and what was added to it."""
    stream = io.BytesIO()
    record = logging.makeLogRecord({"name": "moonpalace", "levelno": 20, "msg": "x", "styles": ["good"]})
    messages.write(stream, record)
    stream.seek(0)
    (found,) = messages.read(stream)
    assert isinstance(found, logging.LogRecord)
    assert found.__dict__ == record.__dict__


def test_a_password_is_not_shown() -> None:
    """Of the opening, what may hold a password is not in what is printed of it."""
    opening = Opening("postgresql://me:secret@host/db", __import__("pathlib").Path("/"), {}, None, None)
    assert "secret" not in repr(opening)

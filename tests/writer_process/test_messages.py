"""Messages through the pipes."""

import io
import logging
import os
import pickle
import threading
from array import array
from collections import deque
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, ResponseStarted, State, Task
from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import Confirmed, Opening, Stop

CHUNKS = st.lists(st.tuples(st.integers(0, 2**62), st.binary(max_size=20)), max_size=5)


def test_messages_come_as_they_were_sent() -> None:
    """Messages of any size arrive in order, until the other end is closed."""
    chunks = messages.packed([("a", deque([(1, b"x" * 300_000)]))], 1)
    sent = [Stop(), Confirmed(["a", "b"]), [chunks]]
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


def a_request(**changes: object) -> RequestRead:
    """Return a request with all its fields."""
    given: dict[str, object] = {
        "started_at": 1_795_368_422_000_000,
        "method": "POST",
        "endpoint": "https://api.moonshot.cn",
        "path": "/v1/chat/completions",
        "query": "",
        "headers": "X-名: \ufffd\r\n",
        "content_type": None,
        "content_encoding": "gzip",
        "client_request_id": None,
        "body": b"\0\xff",
        "api_key": b"k",
        "secrets": (b"a", b"b"),
        "changes": ("c",),
        "coerced": True,
        "endpoint_name": "kimi",
    }
    return RequestRead("u", **(given | changes))  # type: ignore[arg-type]


STARTED = ResponseStarted("u", 5, 200, "A: b\r\n", "text/plain", None, deque([(1, b"x"), (2**40, b"")]))
TASKS: list[tuple[Task, bool]] = [
    (a_request(), True),
    (a_request(body=bytes(messages.MAX_COPIED_SIZE + 1)), False),
    (a_request(path="/\udcff"), False),
    (STARTED, True),
    (msgspec.structs.replace(STARTED, status_code=2**70), False),
    (Chunks(["u"], array("q", [1]), array("q", [1]), array("q", [1]), bytes(messages.MAX_COPIED_SIZE + 1)), False),
    (Chunks(["u", "v"], array("q", [1, 1]), array("q", [2**62, 1]), array("q", [1, 2]), b"abc"), True),
    (ExchangeEnded("u", 7, State.COMPLETED, response=STARTED, warnings=("w",), cut_at=3), True),
    (ExchangeEnded("u", 7, State.TIMED_OUT, 1, "kind", "message", unsent=2, dropped=3, cache_outcome="hit"), True),
]


@pytest.mark.parametrize(("task", "is_packed"), TASKS, ids=map(str, range(len(TASKS))))
def test_tasks_come_as_they_were_sent(task: Task, is_packed: bool) -> None:
    """Large bodies and text that is not Unicode are pickled, everything else is packed; both arrive unchanged."""
    stream = io.BytesIO()
    messages.write(stream, messages.tasks_to_send([task, STARTED]))
    stream.seek(0)
    (message,) = messages.read(stream)
    assert isinstance(message, bytes) is is_packed
    found = messages.received_tasks(message)
    assert found == [task, STARTED]
    assert [type(each) for each in found] == [type(task), ResponseStarted]
    assert pickle.dumps(found[0]) == pickle.dumps(task)


def test_a_message_that_is_torn_ends_it() -> None:
    """The incomplete message of a killed process is dropped; those before it are kept."""
    whole = io.BytesIO()
    messages.write(whole, Confirmed(["a"]))
    torn = io.BytesIO()
    messages.write(torn, Confirmed(["b"] * 100))
    for cut in range(len(torn.getvalue())):
        stream = io.BytesIO(whole.getvalue() + torn.getvalue()[:cut])
        assert list(messages.read(stream)) == [Confirmed(["a"])]


@given(st.dictionaries(st.text(max_size=5), CHUNKS, max_size=4), st.integers(1, 100))
def test_chunks_are_packed_and_unpacked(answers: dict[str, list[tuple[int, bytes]]], limit: int) -> None:
    """Each call gets its own chunks, times, lengths and bytes, from as many messages as the limit requires."""
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
    """A record arrives with its level, its logger and its extra attributes."""
    stream = io.BytesIO()
    record = logging.makeLogRecord({"name": "moonpalace", "levelno": 20, "msg": "x", "styles": ["good"]})
    messages.write(stream, record)
    stream.seek(0)
    (found,) = messages.read(stream)
    assert isinstance(found, logging.LogRecord)
    assert found.__dict__ == record.__dict__


def test_a_password_is_not_shown() -> None:
    """The repr of the opening omits the fields that may contain a password."""
    opening = Opening(Settings(database="postgresql://me:secret@host/db", home=Path("/")), {})
    assert "secret" not in repr(opening)

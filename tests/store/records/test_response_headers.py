"""Tests of storing shared response headers once."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, delete, select, text

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.incoming import transfer_rows
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.response_headers import MIN_LENGTH, Form, response_headers, shared_form
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, PARTS
from moonpalace_addons.store.tasks import Task
from moonpalace_addons.store.upkeep import cleaning, health_rows
from moonpalace_addons.store.upkeep.retention import Rule
from moonpalace_addons.store.upkeep.secret_search import Hit, search
from tests.batches import Batch
from tests.store.added import Add, Count
from tests.tables import for_each
from tests.tasks import ended, request_read, response_started

ALL = Rule(before=datetime(2999, 1, 1, tzinfo=UTC))
DATE = "Sun, 22 Nov 2026 17:27:02 GMT"
SAME = "Server: nginx\r\nContent-Type: application/json\r\nVary: Origin\r\nMsh-Trace-Mode: on\r\n" * 2
WHOLE = f"{SAME}Date: {DATE}\r\nMsh-Request-Id: r-1\r\nServer-Timing: inner; dur=1043\r\nContent-Length: 71\r\n"
WHOLE += "X: r-1 71\r\n"
COLUMNS: Values = {"msh_request_id": "r-1", "server_timing": 1043, "response_bytes": 71}


def bare(engine: Engine, add: Add, headers: str | None, **changes: object) -> int:
    """Store a call whose only piece is the headers of its answer."""
    return add(request=None, response=None, response_headers=headers, **changes)


def form(piece: str, date: str | None = None) -> Form:
    """Return the stored form of headers."""
    return Form(piece.encode(), date)


@for_each(
    ("headers", "expected"),
    [
        (SAME, form(SAME)),
        (f"{SAME}Date: {DATE}\r\n", form(f"{SAME}Date: \x01\r\n", DATE)),
        (f"date:  {DATE}\r\n{SAME}", form(f"date:  \x01\r\n{SAME}", DATE)),
        (f"{SAME}Date: a\r\nDATE: b\r\nDate: a", form(f"{SAME}Date: \x01\r\nDATE: b\r\nDate: \x01", "a")),
        (f"{SAME}X-Date: a\r\nX: Date: a\r\n", form(f"{SAME}X-Date: a\r\nX: Date: a\r\n")),
        (f"{SAME}Date: \r\n", form(f"{SAME}Date:\x01\r\n", " ")),
        (f"{SAME}Msh-Request-Id: r-1\r\n", form(f"{SAME}Msh-Request-Id: \x02\r\n")),
        (f"{SAME}Msh-Request-Id: r-2\r\n", form(f"{SAME}Msh-Request-Id: r-2\r\n")),
        (f"{SAME}x-request-id: r-1\r\n", form(f"{SAME}x-request-id: \x02\r\n")),
        (f"{SAME}request-id: r-1\r\n", form(f"{SAME}request-id: \x02\r\n")),
        (f"{SAME}openai-processing-ms: 1043\r\n", form(f"{SAME}openai-processing-ms: \x03\r\n")),
        (f"{SAME}Server-Timing: inner; dur=1043\r\n", form(f"{SAME}Server-Timing: inner; dur=\x03\r\n")),
        (f"{SAME}Server-Timing: 1043\r\n", form(f"{SAME}Server-Timing: \x03\r\n")),
        (f"{SAME}Server-Timing: inner; dur=01043\r\n", form(f"{SAME}Server-Timing: inner; dur=01043\r\n")),
        (f"{SAME}Server-Timing: a; dur=1043.5\r\n", form(f"{SAME}Server-Timing: a; dur=1043.5\r\n")),
        (f"{SAME}Content-Length: 71", form(f"{SAME}Content-Length: \x04")),
        (f"{SAME}Content-Length: 72\r\n", form(f"{SAME}Content-Length: 72\r\n")),
        ("A: b\r\n".ljust(MIN_LENGTH - 1), None),
        ("A: b\r\n".ljust(MIN_LENGTH), form("A: b\r\n".ljust(MIN_LENGTH))),
        *((f"{SAME}X: {mark}\r\n", None) for mark in "\x00\x01\x02\x03\x04"),
        ("", None),
        (None, None),
    ],
)
def test_headers_in_the_form_that_calls_share(headers: str | None, expected: Form | None) -> None:
    """Marks replace the date, the id, the time and the length, exactly where these occur."""
    assert shared_form({"response_headers": headers} | COLUMNS) == expected


def test_a_value_that_is_not_known_has_no_mark(engine: Engine, add: Add) -> None:
    """A header that says None comes back too."""
    headers = f"{SAME}Server-Timing: None\r\nContent-Length: None\r\n"
    call = bare(engine, add, headers, server_timing=None, response_bytes=None)
    (found,) = exchanges.find(engine, id=call)
    assert found.response_headers == headers


@pytest.mark.parametrize(
    "headers",
    [
        WHOLE,
        WHOLE.lower(),
        f"{SAME}Date: %\\ '语😀\r\n",
        SAME * 50,
        f"{WHOLE}Date: other\r\n",
        f"{SAME}X: \x01\r\n",
        "A: b\r\n",
        "",
        None,
    ],
)
def test_headers_come_back_as_they_were(engine: Engine, add: Add, headers: str | None) -> None:
    """Any headers are read back exactly, by a call, the view, a query and an import."""
    other = f"{SAME}Date: another\r\n"
    bare(engine, add, other)
    call = bare(engine, add, headers, **COLUMNS)
    last = bare(engine, add, WHOLE.replace("71", "999"), **COLUMNS | {"response_bytes": 999})
    (found,) = exchanges.find(engine, id=call)
    assert found.response_headers == headers
    with engine.connect() as connection:
        shown = connection.execute(text("SELECT response_header FROM moonshot_requests ORDER BY id")).scalars().all()
        assert shown == [other, headers, WHOLE.replace("71", "999")]
        of_one = select(EXCHANGES.c.id).where(response_headers().contains("999", autoescape=True))
        assert connection.execute(of_one).scalars().all() == [last]
        carried = transfer_rows.columns_of(connection, call)
        assert carried is not None
        assert carried["response_headers"] == headers
        assert not carried.keys() & {"response_headers_part", "response_date"}


def test_headers_are_stored_once(engine: Engine, add: Add, rows: Count) -> None:
    """Answers that only differ in values with columns share a piece; their rows have no copy of it."""
    for number in range(3):
        headers = f"{SAME}Date: {number}\r\nMsh-Request-Id: {number}\r\nServer-Timing: a; dur={number}\r\n"
        bare(engine, add, headers, msh_request_id=str(number), server_timing=number)
    assert rows("parts") == 1
    with engine.connect() as connection:
        assert connection.execute(select(EXCHANGES.c.response_headers).distinct()).scalars().all() == [None]


@pytest.mark.parametrize("keep", [True, False])
def test_the_writer_keeps_them(engine: Engine, run_id: str, keep: bool) -> None:
    """Calls from the proxy have them as soon as an answer has begun, and still after its end."""
    batch = Batch(run_id, b"k" * 32)
    calls = [request_read(), request_read()]
    answers = [response_started(call, [b"x"], headers=WHOLE.replace("1043", str(at))) for at, call in enumerate(calls)]
    endings = [ended(call, response=answer) for call, answer in zip(calls, answers, strict=True)]
    steps: tuple[Sequence[Task], ...] = (calls, answers, endings) if keep else ([*calls, *answers, *endings],)
    for tasks in steps:
        batch.plan(tasks, keep=keep)
        with writing(engine) as connection:
            batch.store(connection)
        batch.stored()
        results = [row.response_headers for row in exchanges.latest(engine, limit=2)]
        assert results == ([None, None] if tasks is calls else [answer.headers for answer in reversed(answers)])
    assert [call.response_headers for call, *_ in batch.finished()] == [answer.headers for answer in answers]
    with engine.connect() as connection:
        assert connection.execute(select(EXCHANGES.c.response_headers_part).distinct()).scalars().one() is not None


def test_headers_that_are_written_over_win(engine: Engine, add: Add) -> None:
    """Headers in the row take precedence over the piece; none are none."""
    call = bare(engine, add, WHOLE, **COLUMNS)
    for headers in ("A: b\r\n", None):
        with writing(engine) as connection:
            exchanges.update_exchanges(connection, [{"id": call, "response_headers": headers}])
        assert exchanges.find(engine, id=call)[0].response_headers == headers


def test_headers_go_with_their_last_call(engine: Engine, add: Add, rows: Count) -> None:
    """A clean-up keeps the headers of remaining calls, and deletes them with the last one."""
    for date in "ab":
        bare(engine, add, f"{SAME}Date: {date}\r\n")
    with engine.connect() as connection:
        assert health_rows.unused_pieces(connection) == (0, 0)
    assert cleaning.clean(engine, Rule(keep_last=1), None, threading.Event()).deleted == 1
    (left,) = exchanges.latest(engine, limit=9)
    assert left.response_headers == f"{SAME}Date: b\r\n"
    assert (rows("parts"), rows("unused_parts")) == (1, 0)
    assert cleaning.clean(engine, ALL, None, threading.Event()).deleted == 1
    assert (rows("parts"), rows("unused_parts")) == (0, 0)


def test_lost_headers_are_told(engine: Engine, add: Add) -> None:
    """A call with lost headers is shown without them, found by the doctor, and not exported."""
    call = bare(engine, add, SAME)
    with writing(engine) as connection:
        connection.execute(delete(PARTS))
    assert exchanges.find(engine, id=call)[0].response_headers is None
    with engine.connect() as connection:
        assert health_rows.damaged_calls(connection) == [call]
        with pytest.raises(StoreError, match=f"damaged: the response headers of call {call} are missing"):
            transfer_rows.columns_of(connection, call)


def test_secrets_in_shared_headers_are_found(engine: Engine, add: Add) -> None:
    """A secret is reported once for every call that has it."""
    key = "sk-9fR2kLmQ8vXc0TzB4nYd"
    calls = [bare(engine, add, f"{SAME}X: {key}\r\n") for _ in range(2)]
    masked = f"sk-9… ({len(key)} characters)"
    assert search(engine) == [Hit(call, "response_headers", "API key", masked) for call in calls]

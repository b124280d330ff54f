"""Tests of storing shared request headers once."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, delete, select, text, update

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.incoming import transfer_rows
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.request_headers import MIN_LENGTH, request_headers, shared_form
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, PARTS
from moonpalace_addons.store.upkeep import cleaning, health_rows, retention, unused
from moonpalace_addons.store.upkeep.retention import Rule
from moonpalace_addons.store.upkeep.secret_search import Hit, search
from tests.batches import Batch
from tests.store.added import Add, Count
from tests.tables import for_each
from tests.tasks import ended, request_read, response_started

ALL = Rule(before=datetime(2999, 1, 1, tzinfo=UTC))
SDK = "Accept: application/json\r\nUser-Agent: OpenAI/Python 1.82.0\r\n" + "X-Stainless-Lang: python\r\n" * 3


def bare(engine: Engine, add: Add, headers: str, **changes: object) -> int:
    """Store a call whose only piece is its headers."""
    return add(request=None, response=None, request_headers=headers, **changes)


@for_each(
    ("headers", "client_id", "form"),
    [
        (SDK, None, SDK),
        (SDK + "Content-Length: 71\r\n", None, SDK + "Content-Length: \x01\r\n"),
        ("content-length:71\r\n" + SDK, None, "content-length:\x01\r\n" + SDK),
        (SDK + "CONTENT-LENGTH: 71", None, SDK + "CONTENT-LENGTH: \x01"),
        (SDK + "Content-Length: 72\r\n", None, SDK + "Content-Length: 72\r\n"),
        (SDK + "Content-Length: 071\r\n", None, SDK + "Content-Length: 071\r\n"),
        (
            SDK + "X-Content-Length: 71\r\nX-A: Content-Length: 71\r\n",
            None,
            SDK + "X-Content-Length: 71\r\nX-A: Content-Length: 71\r\n",
        ),
        (SDK + "X-Request-Id: a 1\r\nA: a 1\r\n", "a 1", SDK + "X-Request-Id: \x02\r\nA: a 1\r\n"),
        (SDK + "X-Request-Id: a\r\nX-Request-Id: b\r\n", "b", SDK + "X-Request-Id: a\r\nX-Request-Id: \x02\r\n"),
        (SDK + "X-Request-Id: a\r\n", None, SDK + "X-Request-Id: a\r\n"),
        (SDK + "X-A: 语\r\n", None, SDK + "X-A: 语\r\n"),
        ("", None, None),
        ("A: b\r\n".ljust(MIN_LENGTH - 1), None, None),
        ("A: b\r\n".ljust(MIN_LENGTH), None, "A: b\r\n".ljust(MIN_LENGTH)),
        (SDK + "X-A: \x01\r\n", None, None),
        (SDK + "X-A: \x02\r\n", None, None),
        (None, None, None),
    ],
)
def test_headers_in_the_form_that_calls_share(headers: str | None, client_id: str | None, form: str | None) -> None:
    """Marks replace the length of the body and the client's id, exactly where these occur."""
    row: Values = {"request_headers": headers, "request_bytes": 71, "client_request_id": client_id}
    assert shared_form(row) == (None if form is None else form.encode())


@pytest.mark.parametrize(
    ("headers", "client_id"),
    [
        (SDK + "Content-Length: 71\r\n", None),
        (SDK + "Content-Length: 71\r\nX-Request-Id: r-1\r\nX-71: 71 r-1\r\n", "r-1"),
        (SDK + "Content-Length: 71\r\nX-Request-Id: a\x01b\r\n", "a\x01b"),
        (SDK + "Content-Length: 71\r\nX-Request-Id: a\x02b\r\n", "a\x02b"),
        (SDK + "X-A: \x01 \x02\r\n", "r-1"),
        (SDK + "X-A: 语😀 %\\ '\r\n", ""),
        (SDK * 50, "r-1"),
        ("A: b\r\n", None),
        ("", None),
    ],
)
def test_headers_come_back_as_they_were(engine: Engine, add: Add, headers: str, client_id: str | None) -> None:
    """Any headers are read back exactly, by a call, the view and a query; another call has its own."""
    bare(engine, add, SDK + "Content-Length: 5\r\n", request_bytes=5)
    call = bare(engine, add, headers, request_bytes=71, client_request_id=client_id)
    last = bare(engine, add, SDK + "Content-Length: 999\r\n", request_bytes=999)
    (found,) = exchanges.find(engine, id=call)
    assert found.request_headers == headers
    with engine.connect() as connection:
        shown = connection.execute(text("SELECT request_header FROM moonshot_requests ORDER BY id")).scalars().all()
        assert shown == [SDK + "Content-Length: 5\r\n", headers, SDK + "Content-Length: 999\r\n"]
        of_one = select(EXCHANGES.c.id).where(request_headers().contains("999", autoescape=True))
        assert connection.execute(of_one).scalars().all() == [last]


def test_headers_are_stored_once(engine: Engine, add: Add, rows: Count) -> None:
    """Calls whose headers only differ in the length of the body share a piece; their rows have no copy of it."""
    for length in (5, 70, 999):
        bare(engine, add, f"{SDK}Content-Length: {length}\r\n", request_bytes=length)
    assert rows("parts") == 1
    with engine.connect() as connection:
        assert connection.execute(select(EXCHANGES.c.request_headers).distinct()).scalars().all() == [None]
    bare(engine, add, f"{SDK}Content-Length: 5\r\n", request_bytes=6)
    assert rows("parts") == 2


def test_the_writer_keeps_them(engine: Engine, run_id: str, rows: Count) -> None:
    """Calls from the proxy share their headers, and still have them after their end."""
    batch = Batch(run_id, b"k" * 32)
    calls = [request_read(headers=f"{SDK}Content-Length: {size}\r\n", body=b"x" * size) for size in (7, 8)]
    for tasks in (calls, [ended(call, response=response_started(call, [])) for call in calls]):
        batch.plan(tasks, keep=False)
        with writing(engine) as connection:
            batch.store(connection)
        batch.stored()
        assert [row.request_headers for row in exchanges.latest(engine, limit=2)] == [
            f"{SDK}Content-Length: {size}\r\n" for size in (8, 7)
        ]
    assert [call.request_headers for call, *_ in batch.finished()] == [call.headers for call in calls]
    assert rows("parts") == 2 + 1 + 1  # two requests, an empty answer, the headers


def test_headers_go_with_their_last_call(engine: Engine, add: Add, rows: Count) -> None:
    """A clean-up keeps the headers of remaining calls, deletes those of deleted calls, and leaves no note."""
    bare(engine, add, SDK + "X-A: other\r\n")
    for length in (5, 70):
        bare(engine, add, f"{SDK}Content-Length: {length}\r\n", request_bytes=length)
    assert rows("parts") == 2
    assert cleaning.clean(engine, Rule(keep_last=1), None, threading.Event()).deleted == 2
    (left,) = exchanges.latest(engine, limit=9)
    assert left.request_headers == SDK + "Content-Length: 70\r\n"
    assert (rows("parts"), rows("unused_parts")) == (1, 0)
    assert cleaning.clean(engine, ALL, None, threading.Event()).deleted == 1
    assert (rows("parts"), rows("unused_parts")) == (0, 0)


def test_headers_that_come_back_during_a_sweep_stay(engine: Engine, add: Add) -> None:
    """Headers that a new call uses after the scan are not deleted by the sweep."""
    old = bare(engine, add, SDK)
    with writing(engine, alone=True) as connection:
        retention.delete_calls(connection, [old], include_labelled=False)
    notes = unused.scan(engine)
    assert len(notes.unused) == 1
    new = bare(engine, add, SDK)
    with writing(engine, alone=True) as connection:
        assert unused.delete_pieces(connection, notes.unused, notes.tokens) == 0
    assert exchanges.find(engine, id=new)[0].request_headers == SDK


def test_headers_are_counted_as_used(engine: Engine, add: Add) -> None:
    """The doctor counts the piece as used while a call has it; only deleting the last call frees its space."""
    calls = [bare(engine, add, SDK * 200) for _ in range(2)]
    with engine.connect() as connection:
        assert health_rows.unused_pieces(connection) == (0, 0)
    assert retention.oldest(engine, 5000, include_labelled=False).calls == calls
    with writing(engine) as connection:
        connection.execute(delete(EXCHANGES))
        assert health_rows.unused_pieces(connection) == (1, len(SDK) * 200)


def test_lost_headers_are_told(engine: Engine, add: Add) -> None:
    """A call with lost headers is shown without them, found by the doctor, and not exported."""
    call = bare(engine, add, SDK)
    add(request_headers="A: b\r\n")
    with writing(engine) as connection:
        assert health_rows.damaged_calls(connection) == []
        connection.execute(delete(PARTS).where(PARTS.c.data == SDK.encode()))
    assert exchanges.find(engine, id=call)[0].request_headers == ""
    with engine.connect() as connection:
        assert health_rows.damaged_calls(connection) == [call]
        with pytest.raises(StoreError, match=f"damaged: the request headers of call {call} are missing"):
            transfer_rows.columns_of(connection, call)


def test_secrets_in_shared_headers_are_found(engine: Engine, add: Add) -> None:
    """A secret in headers, by its value or by its name, is reported once for every call that has them."""
    key = "sk-9fR2kLmQ8vXc0TzB4nYd"
    calls = [bare(engine, add, f"{SDK}X-A: {key}\r\nX-Api-Key: short\r\n") for _ in range(2)]
    assert search(engine) == [
        Hit(call, "request_headers", kind, masked)
        for call in calls
        for kind, masked in (("API key", f"sk-9… ({len(key)} characters)"), ("header X-Api-Key", "…"))
    ]


def test_headers_that_are_written_over_win(engine: Engine, add: Add) -> None:
    """Headers in the row take precedence over the piece."""
    call = bare(engine, add, SDK)
    with writing(engine) as connection:
        connection.execute(update(EXCHANGES).values(request_headers="A: b\r\n"))
    assert exchanges.find(engine, id=call)[0].request_headers == "A: b\r\n"

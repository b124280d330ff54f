"""Tests of storing pieces once and joining them."""

import json
import threading

import pytest
from sqlalchemy import Engine, delete, func, select, text

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.records.body_scan import quick_text
from moonpalace_addons.store.records.body_text import SIDES, body_text
from moonpalace_addons.store.schema import EXCHANGES, PARTS
from moonpalace_addons.store.upkeep import health_rows, unused
from moonpalace_addons.store.write.body_parts import MAX_PIECE_SIZE
from tests.carried import keep_bodies
from tests.store.added import Add, Count


def history(turns: int) -> bytes:
    messages = [{"role": "user", "content": f"{number} 你好 " + "word " * 200} for number in range(turns)]
    return json.dumps({"model": "kimi-k3", "messages": messages, "stream": True}, ensure_ascii=False).encode()


def keep(engine: Engine, *bodies: bytes) -> list[str]:
    with writing(engine) as connection:
        return keep_bodies(connection, bodies)


def test_a_piece_is_stored_once(engine: Engine, add: Add, rows: Count) -> None:
    """Pieces that exist, or occur twice in a batch, are not stored again; each body is read back."""
    calls = {add(request=history(turns), response=b"same"): history(turns) for turns in (3, 4, 4, 40)}
    with engine.connect() as connection:
        stored = connection.execute(select(func.sum(func.length(PARTS.c.data)))).scalar_one()
    assert stored < len(history(40)) + 600
    for call, body in calls.items():
        assert contents.bodies(engine, call).request == body
        assert contents.bodies(engine, call).response == b"same"
    before = rows("parts")
    first, second, third = keep(engine, b"new", b"new", b"same")
    assert (first == second, first == third, rows("parts")) == (True, False, before + 1)
    assert keep(engine) == []


def test_more_pieces_than_a_statement_can_have_values(engine: Engine, add: Add) -> None:
    """A body of thousands of pieces is stored, found again and joined in order."""
    body = b"[" + b"".join(b"%08d" % number for number in range(300 * MAX_PIECE_SIZE))
    assert contents.bodies(engine, add(request=body)).request == body
    assert keep(engine, body) == keep(engine, body)


def test_a_lost_piece_is_an_error(engine: Engine, add: Add) -> None:
    """A body with a missing piece is never returned as if it were complete; as text it is NULL."""
    call = add(request=history(5))
    with writing(engine) as connection:
        first = connection.execute(select(func.min(PARTS.c.id))).scalar_one()
        connection.execute(delete(PARTS).where(PARTS.c.id == first))
    with pytest.raises(StoreError, match=rf"damaged: a piece of the request body of call {call} is missing"):
        contents.bodies(engine, call)
    assert texts(engine)[0] == (None, "x")


@pytest.mark.usefixtures("file")  # PostgreSQL has no such values
@pytest.mark.parametrize("listed", ["nonsense", "[1,", "{", b"\xff"])
def test_a_list_of_pieces_that_is_none_spoils_no_query(engine: Engine, add: Add, listed: object) -> None:
    """An invalid list of pieces, written by another program, only affects its own body."""
    ids = [add(request=b"asked"), add(request=b"asked")]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE exchanges SET request_parts = ? WHERE id = ?", (listed, ids[0]))
        for expression in (body_text("request", "sqlite"), quick_text("request")):
            query = select(EXCHANGES.c.id).where(expression == "asked")
            assert connection.execute(query).scalars().all() == [ids[1]]
        assert health_rows.damaged_calls(connection) == [ids[0]]
    assert contents.bodies(engine, ids[0]).request is None


def texts(engine: Engine) -> list[tuple[str | None, ...]]:
    """Return the bodies as text by the expression, and check that the view agrees."""
    columns = [body_text(side, engine.dialect.name) for side in SIDES]
    with engine.connect() as connection:
        results = [
            tuple(row) for row in connection.execute(select(*columns).select_from(EXCHANGES).order_by(EXCHANGES.c.id))
        ]
        view = connection.execute(text("SELECT request_body, response_body FROM moonshot_requests ORDER BY id"))
        assert [tuple(row) for row in view] == results
    return results


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (None, None),
        (b"", ""),
        (b"plain", "plain"),
        (history(30), history(30).decode()),
        (b'"' + "语😀".encode() * MAX_PIECE_SIZE, '"' + "语😀" * MAX_PIECE_SIZE),
        (b"\xff\x00", None),
        (b'"' + b"text " * MAX_PIECE_SIZE + b"\x00", None),
        (b'"\xff' + b"text " * MAX_PIECE_SIZE, None),
        (b'"' + b"text " * MAX_PIECE_SIZE + "语".encode()[:2], None),
    ],
)
def test_bodies_as_text(engine: Engine, add: Add, body: bytes | None, shown: str | None) -> None:
    """In a query and in the view a body is its text in the right order, NULL if a piece is not text."""
    add()
    add(request=body, response=b"other")
    add(request=b"other", response=body)
    assert texts(engine) == [("x", "x"), (shown, "other"), ("other", shown)]


def test_text_is_found_by_a_condition(engine: Engine, add: Add) -> None:
    """The expression works in a condition, for its own row."""
    add(request=history(30), response=None)
    call = add(request=history(40), response=None)
    condition = body_text("request", engine.dialect.name).contains("39 你好", autoescape=True)
    with engine.connect() as connection:
        assert connection.execute(select(EXCHANGES.c.id).where(condition)).scalars().all() == [call]


def test_a_piece_that_is_used_again_is_noted_no_more(engine: Engine, rows: Count) -> None:
    """Using a piece that was noted as unused removes its note, but not others."""
    keep(engine, b"one", b"two")
    with writing(engine, alone=True) as connection:
        assert unused.note(connection, [1, 2]) == 2
    keep(engine, b"two")
    assert rows("unused_parts") == 1


def test_writers_at_once_store_a_piece_once(engine: Engine, rows: Count) -> None:
    """Writers that store the same pieces together all get the same ids."""
    bodies = [b"%d" % number * 2000 for number in range(20)]
    found: list[list[str]] = []
    start = threading.Barrier(3)

    def write(order: int) -> None:
        start.wait()
        ids = keep(engine, *bodies[::order])
        found.append(ids[::order])

    threads = [threading.Thread(target=write, args=(order,)) for order in (1, -1, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 3
    assert rows("parts") == len({piece for ids in found[0] for piece in json.loads(ids)})
